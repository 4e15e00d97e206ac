"""Every number the lecture decks print, recomputed: a test per fact, in the order of the lectures.

Also recomputed are the corrections in the lectures' boxes "Check the slide". Facts that need a trained network, data we
cannot have, or an operation that the library doesn't have yet are not here.
"""

import itertools
import math

import numpy as np
import pytest

import zerohero as zh
from zerohero.visualize import output_size, receptive_field_size


def shifted(image, down, right):
    """`image` moved by whole pixels; zeros come in, what leaves is lost."""
    rows, columns = image.shape[-2:]
    padded = np.pad(image, [(0, 0)] * (image.ndim - 2) + [(abs(down),) * 2, (abs(right),) * 2])
    top, left = abs(down) - down, abs(right) - right
    return padded[..., top : top + rows, left : left + columns]


def seen_by(output, inputs):
    """Which inputs one value of the output depends on: where its gradient is not zero."""
    return zh.grad(output, inputs) != 0


def weights_of_layer(filters, depth, kernel=1):
    """Weights and biases of a convolution of `filters` kernels, or of a fully connected layer (kernel 1)."""
    return filters * (depth * kernel * kernel + 1)


# ---- 01 Convolution ---------------------------------------------------------------------------------------------

SLIDE_INPUT = np.array(
    [
        [3, 2, 2, 5, 5, 3],
        [3, 1, 1, 2, 6, 2],
        [1, 4, 3, 3, 1, 4],
        [2, 2, 3, 7, 0, 1],
        [6, 0, 4, 0, 3, 4],
        [2, 1, 3, 4, 4, 0],
    ]
)
SLIDE_FILTER = np.array([[1, 0, -2], [1, 1, 0], [0, -1, 1]])
SLIDE_OUTPUT = np.array([[2, -6, -7, 10], [7, 8, -12, 3], [3, -1, 14, 3], [4, -7, 7, 4]])
# (row, column) of the output: the nine products as the slides print them, and their sum
SLIDE_PRODUCTS = {
    (0, 0): ([3, 0, -4, 3, 1, 0, 0, -4, 3], 2),
    (0, 1): ([2, 0, -10, 1, 1, 0, 0, -3, 3], -6),
    (0, 2): ([2, 0, -10, 1, 2, 0, 0, -3, 1], -7),
    (0, 3): ([5, 0, -6, 2, 6, 0, 0, -1, 4], 10),
    (1, 0): ([3, 0, -2, 1, 4, 0, 0, -2, 3], 7),
    (3, 3): ([7, 0, -2, 0, 3, 0, 0, -4, 0], 4),
}


def test_a_10x10_rgb_image_is_300_inputs():
    assert zh.flatten(np.zeros((1, 3, 10, 10))).shape == (1, 300)


def dense_weights(side, width):
    """Weights of a fully connected layer of `width` on an RGB image of side × side."""
    return zh.nn.Linear(zh.flatten(np.zeros((1, 3, side, side))).shape[1], width, bias=False).num_parameters()


def test_dense_weights_grow_linearly_with_the_pixels_at_a_fixed_width():
    assert [dense_weights(side, 20) / side**2 for side in (5, 10, 20, 40)] == [60] * 4


def test_dense_weights_grow_quadratically_if_the_width_grows_with_the_image():
    assert [dense_weights(side, side**2) / side**4 for side in (5, 10, 20)] == [3] * 3


def test_a_convolutions_weights_do_not_grow_with_the_image():
    layer = zh.nn.Conv2d(3, 8, 3, bias=False)
    sides = [layer(zh.Tensor(np.zeros((1, 3, side, side)))).shape[2] for side in (5, 10, 20)]
    assert (sides, layer.num_parameters()) == ([3, 8, 18], 216)


def test_a_dense_layer_does_not_know_which_pixels_are_neighbours(rng):
    image, weight, order = rng.random((4, 4)), rng.standard_normal((5, 16)), rng.permutation(16)
    scrambled = image.reshape(-1)[order]
    np.testing.assert_allclose(zh.linear(image.reshape(-1), weight), zh.linear(scrambled, weight[:, order]))
    kernel = rng.standard_normal((3, 3))
    plain, mixed = (np.sort(zh.conv2d(x, kernel), axis=None) for x in (image, scrambled.reshape(4, 4)))
    assert not np.isclose(plain, mixed).any()  # a convolution does: no output survives the scrambling


def test_sparse_connections_one_output_sees_9_of_36_pixels(rng):
    x = zh.Tensor(SLIDE_INPUT, requires_grad=True)
    seen = seen_by(zh.conv2d(x, rng.random((3, 3)) + 1)[1, 2], x)
    assert seen.sum() == 9
    assert seen[1:4, 2:5].all()


def test_shared_weights_16_outputs_use_9_numbers_where_a_dense_layer_has_576(rng):
    kernel = rng.standard_normal((3, 3))
    pixels = np.eye(36).reshape(36, 1, 6, 6)
    matrix = zh.conv2d(pixels, kernel[None, None]).reshape(36, 16).T  # the dense layer that does the same
    image = rng.random((6, 6))
    np.testing.assert_allclose(zh.linear(image.reshape(-1), matrix).reshape(4, 4), zh.conv2d(image, kernel))
    assert matrix.size == 576
    assert np.count_nonzero(matrix) == 16 * 9
    assert len(np.unique(matrix[matrix != 0])) == 9


@pytest.mark.parametrize("convolve", [zh.conv2d, zh.conv2d_loops])
def test_the_slides_6x6_input_and_3x3_filter_give_its_4x4_output(convolve):
    np.testing.assert_array_equal(convolve(SLIDE_INPUT, SLIDE_FILTER), SLIDE_OUTPUT)


@pytest.mark.parametrize(("row", "column"), SLIDE_PRODUCTS)
def test_the_slides_nine_products_add_up_to_its_output(row, column):
    products, total = SLIDE_PRODUCTS[row, column]
    window = SLIDE_INPUT[row : row + 3, column : column + 3]
    np.testing.assert_array_equal((window * SLIDE_FILTER).reshape(-1), products)
    assert zh.conv2d(window, SLIDE_FILTER)[0, 0] == sum(products) == total


def test_with_the_filter_flipped_no_value_of_the_slide_comes_out():
    assert not (zh.conv2d(SLIDE_INPUT, SLIDE_FILTER[::-1, ::-1]) == SLIDE_OUTPUT).any()


def test_the_slides_output_is_the_convolution_of_mathematics_with_the_filter_flipped():
    total = np.zeros((8, 8))  # convolution: every pixel spreads a copy of the kernel
    for (i, j), value in np.ndenumerate(SLIDE_INPUT):
        total[i : i + 3, j : j + 3] += value * SLIDE_FILTER[::-1, ::-1]
    np.testing.assert_array_equal(total[2:6, 2:6], zh.conv2d(SLIDE_INPUT, SLIDE_FILTER))


def test_the_identity_filter_returns_the_image(rng):
    image = rng.random((9, 7))
    np.testing.assert_array_equal(zh.conv2d(image, [[0, 0, 0], [0, 1, 0], [0, 0, 0]], padding=1), image)


def test_the_sharpening_filter_keeps_even_areas_and_widens_the_step_at_an_edge():
    step = np.repeat([[2.0, 2, 2, 5, 5, 5]], 5, axis=0)
    sharp = zh.conv2d(step, [[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
    np.testing.assert_array_equal(sharp, np.repeat([[2.0, -1, 8, 5]], 3, axis=0))


def test_the_gaussian_blur_is_a_mean_that_splits_into_a_row_and_a_column(rng):
    blur = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    image, row = rng.random((8, 8)), np.array([[1, 2, 1]]) / 4
    np.testing.assert_allclose(zh.conv2d(image, blur), zh.conv2d(zh.conv2d(image, row), row.T))
    np.testing.assert_allclose(zh.conv2d(np.full((4, 4), 0.7), blur), 0.7)


def test_a_filters_response_is_largest_where_its_feature_is():
    edge = np.array([[-1, 0, 1]] * 3)
    image = np.zeros((8, 9))
    image[:, 5:] = 1  # dark to bright between columns 4 and 5
    response = zh.conv2d(image, edge)
    assert set(response.argmax(axis=1)) <= {3, 4}  # windows of columns 3–5 and 4–6
    assert response.max() == 3 and np.count_nonzero(response[:, :3]) == np.count_nonzero(response[:, 5:]) == 0


def test_for_every_feature_an_own_filter_makes_an_own_channel(rng):
    image, filters = rng.random((3, 10, 10)), rng.standard_normal((5, 3, 3, 3))
    y = zh.conv2d(image, filters)
    assert y.shape == (5, 8, 8)
    np.testing.assert_allclose(y[2], zh.conv2d(image, filters[2:3])[0])


def test_a_filter_spans_all_channels_and_sums_over_them(rng):
    image, kernel = rng.random((3, 6, 6)), rng.standard_normal((1, 3, 3, 3))
    np.testing.assert_allclose(zh.conv2d(image, kernel)[0], sum(zh.conv2d(image[c], kernel[0, c]) for c in range(3)))


def test_a_filter_need_not_be_square(rng):
    assert zh.conv2d(rng.random((6, 6)), rng.random((2, 5))).shape == (5, 2)


def test_the_stride_is_how_many_pixels_the_filter_moves():
    np.testing.assert_array_equal(zh.conv2d(SLIDE_INPUT, SLIDE_FILTER, stride=3), SLIDE_OUTPUT[::3, ::3])
    np.testing.assert_array_equal(zh.conv2d(SLIDE_INPUT, SLIDE_FILTER, stride=(1, 2)), SLIDE_OUTPUT[:, ::2])


def test_padding_adds_values_on_the_border_of_the_input():
    framed = np.zeros((10, 10))
    framed[2:8, 2:8] = SLIDE_INPUT
    np.testing.assert_array_equal(zh.conv2d(SLIDE_INPUT, SLIDE_FILTER, padding=2), zh.conv2d(framed, SLIDE_FILTER))
    np.testing.assert_array_equal(zh.conv2d(SLIDE_INPUT, SLIDE_FILTER, padding=1)[1:5, 1:5], SLIDE_OUTPUT)


def test_padding_of_half_the_kernel_keeps_the_size():
    assert all(output_size(n, k, padding=k // 2) == n for n in range(1, 30) for k in (1, 3, 5, 7, 9))


def test_the_output_size_formula_counts_the_windows_that_fit():
    for n, k, stride, padding, dilation in itertools.product(range(1, 13), (1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2)):
        reach = dilation * (k - 1)
        starts = [i for i in range(0, n + 2 * padding, stride) if i + reach < n + 2 * padding]
        if starts:
            options = dict(stride=stride, padding=padding, dilation=dilation)
            assert output_size(n, k, **options) == len(starts)
            assert zh.conv2d(np.ones((n, n)), np.ones((k, k)), **options).shape == (len(starts), len(starts))


def test_a_convolution_is_shift_equivariant(rng):
    image, kernel = np.zeros((14, 14)), rng.standard_normal((3, 3))
    image[4:9, 4:9] = rng.random((5, 5))
    for down, right in ((0, 1), (2, 0), (-2, 1), (3, -2)):
        moved = zh.conv2d(shifted(image, down, right), kernel)
        np.testing.assert_array_equal(moved, shifted(zh.conv2d(image, kernel), down, right))


def test_a_stride_of_two_breaks_equivariance_to_odd_shifts(rng):
    image, kernel = np.zeros((14, 14)), rng.standard_normal((3, 3))
    image[4:9, 4:9] = rng.random((5, 5))
    still = zh.conv2d(image, kernel, stride=2)
    np.testing.assert_array_equal(zh.conv2d(shifted(image, 0, 2), kernel, stride=2), shifted(still, 0, 1))
    odd = zh.conv2d(shifted(image, 0, 1), kernel, stride=2)
    assert not any(np.allclose(odd, shifted(still, 0, right)) for right in range(-3, 4))


# ---- 02 Pooling and fully connected layers ----------------------------------------------------------------------

POOL_ROWS = [[2, 4, 1, 0], [5, 2, 3, 1], [2, 3, 1, 1]]  # the fourth row is lost in both transcripts of the deck
STROKE = np.array(
    [
        [0, 0, 0, 0, 0.75, 1],
        [0, 0, 0, 0.75, 1, 0.75],
        [0, 0, 0.75, 1, 0.75, 0],
        [0, 0.75, 1, 0.75, 0, 0],
        [0.75, 1, 0.75, 0, 0, 0],
        [1, 0.75, 0, 0, 0, 0],
    ]
)


def test_max_pooling_gives_the_slides_5_3_3_8_with_a_fourth_row_of_ours():
    np.testing.assert_array_equal(zh.max_pool2d([*POOL_ROWS, [3, 1, 8, 2]], 2), [[5, 3], [3, 8]])


def test_the_lost_row_holds_an_8_on_the_right_and_at_most_a_3_on_the_left():
    for left, right in itertools.product(range(10), repeat=2):
        same = np.array_equal(zh.max_pool2d([*POOL_ROWS, [0, left, right, 0]], 2), [[5, 3], [3, 8]])
        assert same == (left <= 3 and right == 8)


def test_pooling_2x2_with_stride_2_keeps_a_quarter_of_the_values(rng):
    assert zh.max_pool2d(rng.random((3, 8, 12)), 2).shape == (3, 4, 6)


def test_a_pooling_window_need_not_be_square():
    np.testing.assert_array_equal(zh.max_pool2d([*POOL_ROWS, [3, 1, 8, 2]], (1, 4)), [[4], [5], [3], [8]])


def test_the_stride_defines_the_movement_of_a_pooling_window():
    np.testing.assert_array_equal(zh.max_pool2d(POOL_ROWS, 2, stride=1), [[5, 4, 3], [5, 3, 3]])


def lenet_without_pooling():
    conv = [zh.nn.Conv2d(1, 6, 5, padding=2), zh.nn.ReLU(), zh.nn.Conv2d(6, 16, 5), zh.nn.ReLU(), zh.nn.Flatten()]
    inputs = zh.nn.Sequential(*conv)(zh.Tensor(np.zeros((1, 1, 28, 28)))).shape[1]
    dense = [zh.nn.Linear(inputs, 120), zh.nn.ReLU(), zh.nn.Linear(120, 84), zh.nn.ReLU(), zh.nn.Linear(84, 10)]
    return zh.nn.Sequential(*conv, *dense)


def test_lenet_has_61706_parameters_with_pooling_and_1119626_without():
    assert zh.models.create("lenet5").num_parameters() == 61_706
    assert lenet_without_pooling().num_parameters() == 1_119_626


def test_pooling_saves_parameters_only_in_the_first_fully_connected_layer():
    pooled = [p.size for p in zh.models.create("lenet5").parameters()]
    plain = [p.size for p in lenet_without_pooling().parameters()]
    assert [i for i, (a, b) in enumerate(zip(pooled, plain, strict=True)) if a != b] == [4]
    assert (pooled[4], plain[4]) == (400 * 120, 9216 * 120)


def test_pooling_saves_five_sixths_of_the_multiplications_of_lenets_second_convolution():
    depth = 16 * 6 * 5 * 5
    assert zh.max_pool2d(np.zeros((6, 28, 28)), 2).shape == (6, 14, 14)
    assert depth * output_size(14, 5) ** 2 == 240_000
    assert depth * output_size(28, 5) ** 2 == 1_382_400


@pytest.mark.parametrize(("side", "times"), [(28, 4), (224, 7)])
def test_pooling_limits_the_depth_an_image_can_be_halved_only_so_often(side, times):
    x = np.ones((1, 1, side, side))
    for _ in range(times):
        x = zh.max_pool2d(x, 2)
    assert x.shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match="window spans 2"):
        zh.max_pool2d(x, 2)


def test_a_convolution_of_stride_2_shrinks_an_image_as_pooling_does(rng):
    image, kernel = rng.random((8, 8)), rng.standard_normal((3, 3))
    strided = zh.conv2d(image, kernel, stride=2, padding=1)
    assert strided.shape == zh.max_pool2d(zh.conv2d(image, kernel, padding=1), 2).shape == (4, 4)


def test_the_slides_two_channels_flatten_to_one_vector_of_eight():
    vector = zh.flatten([[[[5, 3], [2, 4]], [[3, 1], [2, 1]]]])
    np.testing.assert_array_equal(vector, [[5, 3, 2, 4, 3, 1, 2, 1]])
    assert zh.linear(vector, np.ones((4, 8))).shape == (1, 4)  # cat, human, dog, mouse


def test_the_slides_class_probabilities_add_up_to_1_2_and_no_softmax_gives_them(rng):
    slide = np.array([0.1, 0.8, 0.2, 0.1])  # cat, human, dog, mouse
    assert math.isclose(slide.sum(), 1.2)
    scores = np.vstack([rng.normal(scale=5, size=(1000, 4)), np.log(slide)])
    np.testing.assert_allclose(zh.softmax(scores).sum(axis=1), 1)
    np.testing.assert_allclose(zh.softmax(np.log(slide)), slide / 1.2)  # what the network may have meant


def test_a_filter_finds_its_feature_at_every_position(rng):
    feature = rng.random((3, 3))
    for top, left in np.ndindex(6, 6):
        image = np.zeros((8, 8))
        image[top : top + 3, left : left + 3] = feature
        response = zh.conv2d(image, feature)
        assert math.isclose(response.max(), (feature**2).sum())  # the same strength: invariant
        assert np.unravel_index(response.argmax(), response.shape) == (top, left)  # elsewhere: equivariant


def test_the_slanted_stroke_pools_to_the_slides_3x3():
    np.testing.assert_array_equal(zh.max_pool2d(STROKE, 2), [[0, 0.75, 1], [0.75, 1, 0.75], [1, 0.75, 0]])


@pytest.mark.parametrize("direction", [(0, 1), (0, -1), (1, 0), (-1, 0)], ids=["right", "left", "down", "up"])
@pytest.mark.parametrize(("pixels", "changed"), [(1, 4), (2, 8)])
def test_shifting_the_stroke_changes_4_of_9_pooled_cells_by_1_pixel_and_8_by_2(pixels, changed, direction):
    moved = shifted(STROKE, pixels * direction[0], pixels * direction[1])
    assert np.count_nonzero(zh.max_pool2d(moved, 2) != zh.max_pool2d(STROKE, 2)) == changed


def test_pooling_removes_the_exact_positions_within_a_window(rng):
    windows = STROKE.reshape(3, 2, 3, 2).swapaxes(1, 2).reshape(9, 4)
    mixed = rng.permuted(windows, axis=1).reshape(3, 3, 2, 2).swapaxes(1, 2).reshape(6, 6)
    assert np.count_nonzero(mixed != STROKE) > 10
    np.testing.assert_array_equal(zh.max_pool2d(mixed, 2), zh.max_pool2d(STROKE, 2))


def test_pooling_is_invariant_to_small_shifts_of_a_pixel_only_within_its_window():
    pixels = np.eye(36).reshape(36, 1, 6, 6)
    inside = pixels[np.arange(36) % 6 < 5]  # those that stay in the image when they move right
    unchanged = (zh.max_pool2d(shifted(inside, 0, 1), 2) == zh.max_pool2d(inside, 2)).all(axis=(1, 2, 3))
    assert (len(inside), unchanged.sum()) == (30, 18)


# ---- 03 Learning ------------------------------------------------------------------------------------------------


def test_a_traditional_neuron_is_f_of_its_bias_and_weighted_sum(rng):
    x, weights, bias = rng.random(5), rng.standard_normal(5), 0.3
    s = bias + sum(w * value for w, value in zip(weights, x, strict=True))
    y = zh.sigmoid(zh.linear(x, weights[None], np.array([bias])))
    assert math.isclose(y[0], 1 / (1 + math.exp(-s)))


def test_maxout_of_two_lines_can_be_relu_or_the_absolute_value(rng):
    x = rng.standard_normal((20, 1))

    def maxout(slopes):
        return zh.Tensor(zh.linear(x, np.array(slopes)[:, None])).max(axis=1).numpy()

    np.testing.assert_array_equal(maxout([0.0, 1.0]), zh.relu(x[:, 0]))
    np.testing.assert_array_equal(maxout([-1.0, 1.0]), np.abs(x[:, 0]))


def test_before_training_the_loss_of_ten_classes_is_log_10():
    assert math.isclose(zh.cross_entropy(np.zeros((5, 10)), np.arange(5)), math.log(10))


@pytest.mark.data
def test_mnist_has_60000_training_and_10000_test_images_of_28x28():
    shapes = [zh.datasets.load("mnist", split, download=False).images.shape for split in ("train", "test")]
    assert shapes == [(60_000, 1, 28, 28), (10_000, 1, 28, 28)]


# ---- 05 AlexNet and VGG -----------------------------------------------------------------------------------------

# The deck's layer array: name, then for convolutions (filters, kernel, depth, stride, padding), for pools
# (window, stride), for fully connected layers (outputs).
ALEXNET = [
    ("data",),
    ("conv1", 96, 11, 3, 4, 0), ("relu1",), ("norm1",), ("pool1", 3, 2),
    ("conv2", 256, 5, 48, 1, 2), ("relu2",), ("norm2",), ("pool2", 3, 2),
    ("conv3", 384, 3, 256, 1, 1), ("relu3",),
    ("conv4", 384, 3, 192, 1, 1), ("relu4",),
    ("conv5", 256, 3, 192, 1, 1), ("relu5",), ("pool5", 3, 2),
    ("fc6", 4096), ("relu6",), ("drop6",), ("fc7", 4096), ("relu7",), ("drop7",), ("fc8", 1000),
    ("prob",), ("output",),
]  # fmt: skip
ALEXNET_CONVOLUTIONS = [layer for layer in ALEXNET if layer[0].startswith("conv")]

# What ImageNet's judges had, and five answers, as the deck's error slide lists them; "?" is illegible there.
ERROR_SLIDE = {
    "mite": ["mite", "black widow", "cockroach", "tick", "starfish"],
    "container ship": ["container ship", "lifeboat", "amphibian", "fireboat", "drilling platform"],
    "motor scooter": ["motor scooter", "go-kart", "moped", "bumper car", "golfcart"],
    "leopard": ["leopard", "jaguar", "cheetah", "snow leopard", "Egyptian cat"],
    "grille": ["convertible", "grille", "pickup", "beach wagon", "fire engine"],
    "mushroom": ["agaric", "mushroom", "jelly fungus", "gill fungus", "dead-man's-fingers"],
    "cherry": ["?", "grape", "elderberry", "ffordshire bullterrier", "currant"],
    "Madagascar cat": ["squirrel monkey", "spider monkey", "titi", "indri", "howler monkey"],
}

VGG = {  # the deck's columns: filters of 3×3, "/1" where the kernel is 1×1; M is max pooling, L is LRN
    "A": "64 M 128 M 256 256 M 512 512 M 512 512 M",
    "A-LRN": "64 L M 128 M 256 256 M 512 512 M 512 512 M",
    "B": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    "C": "64 64 M 128 128 M 256 256 256/1 M 512 512 512/1 M 512 512 512/1 M",
    "D": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "E": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


def vgg_convolutions(column):
    """(filters, depth, kernel) of every convolution in a column."""
    layers = [layer.partition("/") for layer in VGG[column].split() if layer not in "ML"]
    depths = [3] + [int(filters) for filters, _, _ in layers]
    return [(int(filters), depth, int(kernel or 3)) for (filters, _, kernel), depth in zip(layers, depths)]


def vgg_parameters(column):
    dense = weights_of_layer(4096, 512, 7) + weights_of_layer(4096, 4096) + weights_of_layer(1000, 4096)
    return sum(weights_of_layer(*layer) for layer in vgg_convolutions(column)) + dense


def alexnet_parameters(grouped=True):
    total, channels, side = 0, 3, 227
    for name, *numbers in ALEXNET:
        if name.startswith("conv"):
            filters, kernel, depth, stride, padding = numbers
            total += weights_of_layer(filters, depth if grouped else channels, kernel)
            channels, side = filters, output_size(side, kernel, stride=stride, padding=padding)
        elif name.startswith("pool"):
            side = output_size(side, numbers[0], stride=numbers[1])
        elif name.startswith("fc"):
            total += weights_of_layer(numbers[0], channels * side * side)
            channels, side = numbers[0], 1
    return total


def test_imagenet_has_650_images_a_synset_not_1000():
    assert 14_197_122 / 21_841 == pytest.approx(650, abs=0.1)


@pytest.mark.parametrize(("answers", "wrong"), [(1, 4), (5, 2)])
def test_on_the_error_slide_top_1_is_wrong_for_4_of_8_and_top_5_for_2_of_8(answers, wrong):
    assert sum(label not in guesses[:answers] for label, guesses in ERROR_SLIDE.items()) == wrong


def test_the_error_chart_falls_every_year_and_passes_the_human_5_1_percent_with_resnet():
    top5 = {"2010": 28.2, "2011": 25.8, "AlexNet": 16.4, "2013": 11.7, "VGG": 7.3, "GoogLeNet": 6.7, "ResNet": 3.57,
            "2016": 2.99, "2017": 2.25}  # fmt: skip
    assert list(top5.values()) == sorted(top5.values(), reverse=True)
    assert next(name for name, error in top5.items() if error < 5.1) == "ResNet"
    assert max(itertools.pairwise(top5.values()), key=lambda pair: pair[0] - pair[1]) == (25.8, 16.4)  # AlexNet's step


def test_alexnets_table_has_25_layers_of_which_8_have_weights():
    assert len(ALEXNET) == 25
    assert sum(name.startswith(("conv", "fc")) for name, *_ in ALEXNET) == 8


def test_alexnet_on_224_pixels_would_make_54_25_columns_and_on_227_it_makes_55():
    assert (224 - 11) / 4 + 1 == 54.25
    for side, columns, unread in ((224, 54, 1), (227, 55, 0)):
        x = zh.Tensor(np.ones((11, side)), requires_grad=True)
        y = zh.conv2d(x, np.ones((11, 11)), stride=4)
        assert y.shape == (1, columns)  # whole windows only
        assert np.count_nonzero(~seen_by(y.sum(), x)[0]) == unread


def test_alexnets_feature_maps_are_55_27_13_and_6_wide():
    sides, side = [], 227
    for name, *numbers in ALEXNET:
        if name.startswith("conv"):
            side = output_size(side, numbers[1], stride=numbers[3], padding=numbers[4])
        elif name.startswith("pool"):
            side = output_size(side, numbers[0], stride=numbers[1])
        else:
            continue
        sides.append(side)
    assert sides == [55, 27, 27, 13, 13, 13, 13, 6]


def test_alexnets_depths_of_48_and_192_mean_two_groups():
    channels = [3] + [filters for _, filters, *_ in ALEXNET_CONVOLUTIONS]
    groups = [before // depth for before, (_, _, _, depth, *_) in zip(channels, ALEXNET_CONVOLUTIONS)]
    assert groups == [1, 2, 1, 2, 2]
    layer = zh.nn.Conv2d(96, 256, 5, padding=2, groups=2)
    assert layer.weight.shape == (256, 48, 5, 5)


def test_alexnets_first_layer_has_weights_11x11x3x96_and_96_biases():
    layer = zh.nn.Conv2d(3, 96, 11, stride=4)
    assert sorted(layer.weight.shape) == sorted((11, 11, 3, 96))
    assert layer.num_parameters() == weights_of_layer(96, 3, 11) == 34_848 + 96


def test_alexnet_has_60965224_parameters_and_62378344_without_groups():
    assert (alexnet_parameters(), alexnet_parameters(grouped=False)) == (60_965_224, 62_378_344)


def test_alexnets_normalization_looks_at_5_channels_per_element(rng):
    x = zh.Tensor(rng.random((1, 12, 3, 3)) + 0.1, requires_grad=True)
    seen = seen_by(zh.local_response_norm(x, 5, alpha=1.0)[0, 6, 1, 1], x)
    assert list(np.argwhere(seen)[:, 1]) == [4, 5, 6, 7, 8]
    assert {(row, column) for _, _, row, column in np.argwhere(seen)} == {(1, 1)}  # over channels, not over space


def test_the_papers_undivided_alpha_of_1e_4_is_5e_4_here(rng):
    a = rng.normal(scale=30, size=(1, 9, 2, 2))
    paper = np.empty_like(a)  # the paper's formula: k = 2, n = 5, alpha = 1e-4, beta = 0.75
    for i in range(9):
        paper[:, i] = a[:, i] / (2 + 1e-4 * (a[:, max(0, i - 2) : i + 3] ** 2).sum(axis=1)) ** 0.75
    np.testing.assert_allclose(zh.local_response_norm(a, 5, alpha=5e-4, beta=0.75, k=2.0), paper)
    assert not np.allclose(zh.local_response_norm(a, 5, alpha=1e-4, beta=0.75, k=2.0), paper)


def test_tanh_saturates_where_relu_keeps_its_slope():
    x = zh.Tensor([5.0], requires_grad=True)
    slopes = [zh.grad(f(x).sum(), x)[0] for f in (zh.tanh, zh.relu)]
    assert slopes == pytest.approx([1 - math.tanh(5) ** 2, 1], rel=1e-2)
    assert slopes[0] < 2e-4


def test_dropout_of_50_percent_silences_half_and_keeps_the_mean(rng):
    y = zh.dropout(np.ones((100, 4096)), 0.5, rng=rng)
    assert set(np.unique(y)) == {0, 2}
    assert np.mean(y == 0) == pytest.approx(0.5, abs=0.005)  # 6 standard deviations
    assert y.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("column", "layers"), [("A", 11), ("A-LRN", 11), ("B", 13), ("C", 16), ("D", 16), ("E", 19)])
def test_vggs_columns_have_as_many_weight_layers_as_their_heads_say(column, layers):
    assert len(vgg_convolutions(column)) + 3 == layers


def test_vggs_column_c_is_not_only_3x3():
    assert {column: {kernel for *_, kernel in vgg_convolutions(column)} for column in VGG} == {
        "A": {3}, "A-LRN": {3}, "B": {3}, "C": {1, 3}, "D": {3}, "E": {3},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "parameters"),
    [
        ("A", 132_863_336),
        ("A-LRN", 132_863_336),
        ("B", 133_047_848),
        ("C", 133_638_952),
        ("D", 138_357_544),
        ("E", 143_667_240),
    ],
)
def test_vgg_has_133_to_144_million_parameters(column, parameters):
    assert vgg_parameters(column) == parameters
    assert 133 <= round(parameters / 1e6) <= 144


def test_vggs_3x3_with_pad_1_keeps_the_size_and_its_five_pools_leave_7_of_224():
    side = 224
    for layer in VGG["E"].split():
        side = output_size(side, 2, stride=2) if layer == "M" else output_size(side, 3, padding=1)
    assert side == 7


def test_three_3x3_convolutions_see_7x7_as_one_7x7_does(rng):
    x = zh.Tensor(rng.random((15, 15)), requires_grad=True)
    y = x
    for _ in range(3):
        y = zh.conv2d(y, rng.random((3, 3)) + 1, padding=1)
    seen = seen_by(y[7, 7], x)
    assert (seen.sum(), seen[4:11, 4:11].all()) == (49, True)
    assert receptive_field_size([3, 3, 3]) == receptive_field_size([7]) == 7


def test_three_3x3_convolutions_have_27_weights_for_the_49_of_one_7x7():
    channels = 64
    small = zh.nn.Sequential(*(zh.nn.Conv2d(channels, channels, 3, bias=False) for _ in range(3))).num_parameters()
    large = zh.nn.Conv2d(channels, channels, 7, bias=False).num_parameters()
    assert (small, large) == (27 * channels**2, 49 * channels**2)


# ---- 06 GoogLeNet, ResNet, DenseNet -----------------------------------------------------------------------------

# Inception 3a to 5b: channels in, 1×1, 3×3 after its reduction, 5×5 after its reduction, 1×1 after the pool
# (Szegedy et al. 2014, table 1).
INCEPTION = [
    (192, 64, 96, 128, 16, 32, 32), (256, 128, 128, 192, 32, 96, 64),
    (480, 192, 96, 208, 16, 48, 64), (512, 160, 112, 224, 24, 64, 64), (512, 128, 128, 256, 24, 64, 64),
    (512, 112, 144, 288, 32, 64, 64), (528, 256, 160, 320, 32, 128, 128),
    (832, 256, 160, 320, 32, 128, 128), (832, 384, 192, 384, 48, 128, 128),
]  # fmt: skip


def inception_parameters(channels, one, reduce3, three, reduce5, five, pool):
    layers = [(one, channels), (reduce3, channels), (three, reduce3, 3), (reduce5, channels), (five, reduce5, 5),
              (pool, channels)]  # fmt: skip
    return sum(weights_of_layer(*layer) for layer in layers)


def googlenet_parameters():
    stem = weights_of_layer(64, 3, 7) + weights_of_layer(64, 64) + weights_of_layer(192, 64, 3)
    return stem + sum(inception_parameters(*row) for row in INCEPTION) + weights_of_layer(1000, 1024)


def auxiliary_parameters(channels):
    """A classifier on the side: 1×1 to 128 channels on 4×4, then 1024 and 1000."""
    return weights_of_layer(128, channels) + weights_of_layer(1024, 128 * 4 * 4) + weights_of_layer(1000, 1024)


def resnet_parameters(blocks, bottleneck):
    """Convolutions without bias, each with the two numbers a channel of its batch norm."""

    def conv(filters, depth, kernel):
        return filters * depth * kernel**2 + 2 * filters

    total, channels = conv(64, 3, 7), 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        out = 4 * width if bottleneck else width
        for block in range(count):
            if bottleneck:
                total += conv(width, channels, 1) + conv(width, width, 3) + conv(out, width, 1)
            else:
                total += conv(width, channels, 3) + conv(width, width, 3)
            if block == 0 and channels != out:
                total += conv(out, channels, 1)  # the projection on the shortcut
            channels = out
    return total + weights_of_layer(1000, channels)


def densenet_parameters(blocks, growth=32):
    total, channels = 64 * 3 * 49 + 2 * 64, 64
    for index, layers in enumerate(blocks):
        for _ in range(layers):  # norm, 1×1 to 4·growth, norm, 3×3 to growth
            total += 2 * channels + 4 * growth * channels + 2 * 4 * growth + growth * 4 * growth * 9
            channels += growth
        if index < len(blocks) - 1:  # norm, 1×1 to half the channels
            total += 2 * channels + channels * (channels // 2)
            channels //= 2
    return total + 2 * channels + weights_of_layer(1000, channels)


def residual_block(x1, w1, b1, w2, b2):
    """The slide's block: x3 = ReLU(W2 x2 + b2 + x1) with x2 = ReLU(W1 x1 + b1)."""
    return zh.relu(zh.linear(zh.relu(zh.linear(x1, w1, b1)), w2, b2) + x1)


def test_googlenets_branches_keep_the_resolution_and_join_to_256_channels(rng):
    channels, one, reduce3, three, reduce5, five, pool = INCEPTION[0]
    x = rng.random((1, channels, 28, 28), dtype=np.float32)

    def conv(x, filters, kernel):
        return zh.conv2d(x, np.ones((filters, x.shape[1], kernel, kernel), np.float32), padding=kernel // 2)

    branches = [
        conv(x, one, 1),
        conv(conv(x, reduce3, 1), three, 3),
        conv(conv(x, reduce5, 1), five, 5),
        conv(zh.max_pool2d(x, 3, stride=1, padding=1), pool, 1),
    ]
    assert zh.concat(branches, axis=1).shape == (1, 256, 28, 28)
    for before, after in itertools.pairwise(INCEPTION):
        assert before[1] + before[3] + before[5] + before[6] == after[0]


def test_a_1x1_convolution_pools_the_features_of_every_pixel_by_itself(rng):
    x, weight = rng.random((2, 16, 5, 5)), rng.standard_normal((4, 16))
    y = zh.conv2d(x, weight[:, :, None, None])
    np.testing.assert_allclose(np.moveaxis(y, 1, -1), zh.linear(np.moveaxis(x, 1, -1), weight))


def test_a_1x1_convolution_before_the_5x5_saves_nine_tenths_of_its_multiplications():
    channels, *_, reduce5, five, _ = INCEPTION[0]
    direct = 28 * 28 * five * channels * 25
    reduced = 28 * 28 * (reduce5 * channels + five * reduce5 * 25)
    assert (direct, reduced) == (120_422_400, 12_443_648)
    assert reduced / direct == pytest.approx(0.1, abs=0.005)


def test_googlenet_has_6998552_parameters_and_13378280_with_its_auxiliary_classifiers():
    assert googlenet_parameters() == 6_998_552
    assert googlenet_parameters() + auxiliary_parameters(512) + auxiliary_parameters(528) == 13_378_280


def test_googlenet_has_a_fully_connected_layer_with_14_6_percent_of_its_parameters():
    layer = zh.nn.Linear(1024, 1000).num_parameters()
    assert layer == 1_025_000
    assert round(100 * layer / googlenet_parameters(), 1) == 14.6


def test_googlenet_has_8_7_to_8_9_times_fewer_parameters_than_alexnet_not_12():
    assert round(alexnet_parameters() / googlenet_parameters(), 1) == 8.7
    assert round(alexnet_parameters(grouped=False) / googlenet_parameters(), 1) == 8.9


def test_googlenet_is_22_layers_deep():
    stem, deepest_branch, classifier = 3, 2, 1  # of a module: a reduction, then 3×3 or 5×5
    assert stem + deepest_branch * len(INCEPTION) + classifier == 22


@pytest.mark.parametrize(
    ("blocks", "bottleneck", "depth", "parameters"),
    [
        ((2, 2, 2, 2), False, 18, 11_689_512),
        ((3, 4, 6, 3), False, 34, 21_797_672),
        ((3, 4, 6, 3), True, 50, 25_557_032),
        ((3, 4, 23, 3), True, 101, 44_549_160),
        ((3, 8, 36, 3), True, 152, 60_192_808),
    ],
)
def test_resnets_have_the_depth_in_their_name_and_up_to_60_million_parameters(blocks, bottleneck, depth, parameters):
    assert 1 + sum(blocks) * (3 if bottleneck else 2) + 1 == depth
    assert resnet_parameters(blocks, bottleneck) == parameters


def test_a_residual_block_is_the_identity_if_its_weights_are_zero_and_x1_is_not_negative(rng):
    zero, w1 = np.zeros((6, 6)), rng.standard_normal((6, 6))
    positive, mixed = rng.random((3, 6)), rng.standard_normal((3, 6))
    np.testing.assert_array_equal(residual_block(positive, w1, zero[0], zero, zero[0]), positive)
    through = residual_block(mixed, w1, zero[0], zero, zero[0])
    np.testing.assert_array_equal(through != mixed, mixed < 0)  # "identity" needs x1 ≥ 0


def test_l2_regularization_shrinks_a_residual_block_to_the_identity(rng):
    x1, w1, w2 = rng.random((3, 6)), rng.standard_normal((6, 6)), zh.Tensor(rng.standard_normal((6, 6)), True)
    distances = []
    for _ in range(5):
        for _ in range(20):
            w2 = zh.Tensor(w2.numpy() - 0.1 * zh.grad(0.5 * (w2 * w2).sum(), w2), requires_grad=True)
        distances.append(np.abs(residual_block(x1, w1, np.zeros(6), w2.numpy(), np.zeros(6)) - x1).max())
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-3


def test_a_sigmoids_slope_is_at_most_a_quarter():
    x = zh.Tensor(np.linspace(-10, 10, 2001), requires_grad=True)
    slopes = zh.grad(zh.sigmoid(x).sum(), x)
    assert slopes.max() == 0.25 and x.numpy()[slopes.argmax()] == 0


def test_the_gradient_vanishes_in_20_sigmoid_layers_and_not_with_shortcuts(rng):
    weights = [rng.normal(scale=1 / 4, size=(16, 16)) for _ in range(20)]
    start = rng.standard_normal((1, 16))
    norms = []
    for shortcut in (0, 1):
        x = first = zh.Tensor(start, requires_grad=True)
        for weight in weights:
            x = zh.sigmoid(zh.linear(x, weight)) + shortcut * x
        norms.append(np.linalg.norm(zh.grad(x.sum(), first)))
    assert norms[0] < 1e-9
    assert norms[1] > 1


def test_densenet_connects_every_two_layers_and_its_input_grows_by_concatenation(rng):
    growth, layers = 3, 5
    features, joined = [rng.random((1, 8, 4, 4))], 0
    for _ in range(layers):
        x = zh.concat(features, axis=1)
        joined += len(features)
        features.append(zh.conv2d(x, rng.random((growth, x.shape[1], 3, 3)), padding=1))
    assert joined == layers * (layers + 1) // 2
    assert zh.concat(features, axis=1).shape[1] == 8 + growth * layers


@pytest.mark.parametrize(
    ("blocks", "depth"),
    [
        ((6, 12, 24, 16), 121),
        ((6, 12, 32, 32), 169),
        ((6, 12, 48, 32), 201),
        ((6, 12, 64, 48), 265),  # in the paper's table, where it is called DenseNet-264
    ],
)
def test_densenets_have_as_many_layers_as_their_names_say_but_264_has_265(blocks, depth):
    stem, transitions, classifier = 1, 3, 1
    assert stem + 2 * sum(blocks) + transitions + classifier == depth


def test_densenet_121_has_7978856_parameters_and_densenet_264_33337704():
    assert densenet_parameters((6, 12, 24, 16)) == 7_978_856
    assert densenet_parameters((6, 12, 64, 48)) == 33_337_704


def test_densenet_264_has_fewer_parameters_than_resnet_101():
    assert densenet_parameters((6, 12, 64, 48)) < resnet_parameters((3, 4, 23, 3), bottleneck=True)


# ---- 08 Visualization -------------------------------------------------------------------------------------------


def test_after_grey_rescaling_black_is_only_the_minimum_not_a_negative_activation(rng):
    activation = zh.relu(zh.conv2d(rng.random((8, 8)), np.ones((3, 3)))) + 1
    grey = (activation - activation.min()) / (activation.max() - activation.min())
    assert (grey.min(), grey.max()) == (0, 1)
    assert activation[grey == 0].min() > 0


# ---- 09 Where CNNs fail -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("signal", "detected"), [([0, 3, 2, 0, 0], [0, 1, 0, 0]), ([0, 0, 3, 2, 0], [0, 0, 1, 0])])
def test_the_filter_3_2_with_threshold_13_finds_the_pattern_where_it_is(signal, detected):
    response = zh.conv2d([signal], [[3, 2]])[0]
    np.testing.assert_array_equal((response >= 13).astype(int), detected)  # equivariant
    assert zh.max_pool2d(response[None], (1, 4)) == 13  # invariant: its maximum is the same wherever it is


def test_max_pooling_over_everything_cannot_tell_where_the_parts_are(rng):
    parts = rng.random((4, 6, 6))  # responses to two eyes, a nose and a mouth
    scrambled = rng.permuted(parts.reshape(4, 36), axis=1).reshape(4, 6, 6)
    np.testing.assert_array_equal(zh.max_pool2d(parts, 6), zh.max_pool2d(scrambled, 6))
    assert not np.array_equal(zh.max_pool2d(parts, 2), zh.max_pool2d(scrambled, 2))


def test_max_pooling_routes_only_the_most_active_neuron_upwards(rng):
    x = zh.Tensor(rng.random((4, 4)), requires_grad=True)
    seen = seen_by(zh.max_pool2d(x, 2).sum(), x)
    assert seen.reshape(2, 2, 2, 2).sum(axis=(1, 3)).tolist() == [[1, 1], [1, 1]]
    assert set(x.numpy()[seen]) == set(zh.max_pool2d(x.numpy(), 2).reshape(-1))


# ---- 10 Capsules and routing ------------------------------------------------------------------------------------


def test_with_one_output_capsule_the_couplings_are_always_1(rng):
    logits = rng.normal(scale=5, size=(2, 1))  # (inputs, outputs): two capsules below, one above
    np.testing.assert_array_equal(zh.softmax(logits, axis=1), [[1], [1]])


def test_the_slides_softmax_over_the_two_inputs_lets_an_input_give_away_less_than_itself(rng):
    logits = rng.standard_normal((2, 3))
    right, slide = zh.softmax(logits, axis=1), zh.softmax(logits, axis=0)
    np.testing.assert_allclose(right.sum(axis=1), 1)
    np.testing.assert_allclose(slide.sum(axis=0), 1)
    assert not np.isclose(slide.sum(axis=1), 1).any()


# ---- 11 CapsNet -------------------------------------------------------------------------------------------------


def margin_loss(lengths, present):
    """The slide's margin loss of one image from its capsules' lengths: m+ = 0.9, m- = 0.1, λ = 0.5."""
    lengths, present = np.asarray(lengths, float), np.asarray(present, float)
    return (present * zh.relu(0.9 - lengths) ** 2 + 0.5 * (1 - present) * zh.relu(lengths - 0.1) ** 2).sum()


def test_capsnets_images_shrink_from_28_to_20_to_6():
    assert output_size(28, 9) == 20
    assert output_size(20, 9, stride=2) == 6


def test_capsnet_has_1152_primary_capsules_of_8_numbers():
    maps = np.arange(6 * 6 * 256).reshape(256, 6, 6)  # 32 types × 8 numbers
    capsules = maps.reshape(32, 8, 6, 6).transpose(0, 2, 3, 1).reshape(-1, 8)
    assert capsules.shape == (1152, 8)
    np.testing.assert_array_equal(capsules[36 * 3 + 6 * 2 + 1], maps[24:32, 2, 1])  # type 3, row 2, column 1


def test_primary_caps_stride_leaves_half_a_step_over():
    assert (20 - 9) / 2 + 1 == 6.5
    x = zh.Tensor(np.ones((20, 20)), requires_grad=True)
    seen = seen_by(zh.conv2d(x, np.ones((9, 9)), stride=2).sum(), x)
    assert not seen[19].any() and not seen[:, 19].any() and seen[:19, :19].all()


def test_55_pixels_in_row_27_and_column_27_influence_no_capsule():
    x = zh.Tensor(np.ones((28, 28)), requires_grad=True)
    seen = seen_by(zh.conv2d(zh.conv2d(x, np.ones((9, 9))), np.ones((9, 9)), stride=2).sum(), x)
    assert np.count_nonzero(~seen) == 55
    assert not seen[27].any() and not seen[:, 27].any()


def test_capsnets_encoder_has_6804384_parameters_and_its_decoder_1411344():
    conv1, primary = zh.nn.Conv2d(1, 256, 9).num_parameters(), zh.nn.Conv2d(256, 32 * 8, 9, stride=2).num_parameters()
    votes, bias = np.empty((1152, 8, 10, 16), bool).size, 10 * 16
    assert (conv1, primary, votes) == (20_992, 5_308_672, 1_474_560)
    assert conv1 + primary + votes == 6_804_224
    assert conv1 + primary + votes + bias == 6_804_384
    widths = [16 * 10, 512, 1024, 28 * 28]
    assert sum(weights_of_layer(out, n) for n, out in itertools.pairwise(widths)) == 1_411_344


def test_the_margin_loss_is_0_exactly_from_0_9_up_for_a_present_digit_and_from_0_1_down_for_an_absent_one():
    lengths = np.linspace(0, 1, 101)
    assert [margin_loss([v], [1]) == 0 for v in lengths] == [v >= 0.9 for v in lengths]
    assert [margin_loss([v], [0]) == 0 for v in lengths] == [v <= 0.1 for v in lengths]


def test_the_margin_loss_of_the_true_digit_at_0_5_and_nine_others_at_0_3_is_0_34():
    assert math.isclose(margin_loss([0.5] + [0.3] * 9, [1] + [0] * 9), 0.34)


def test_capsule_lengths_are_no_distribution_two_digits_at_0_9_cost_nothing():
    lengths = [0.9, 0.9] + [0.1] * 8
    assert margin_loss(lengths, [1, 1] + [0] * 8) == 0
    assert sum(lengths) > 1


def test_the_mean_squared_error_is_784_times_weaker_than_the_sum_the_weight_5e_4_is_meant_for(rng):
    image, reconstruction = rng.random(784), rng.random(784)
    squares, mean = (zh.mse_loss(image, reconstruction, reduction=r) for r in ("sum", "mean"))
    assert math.isclose(squares / mean, 784)
    assert math.isclose(5e-4 * squares, 0.392 * mean)


def test_the_perturbations_by_0_05_from_minus_0_25_to_0_25_are_the_slides_11_columns():
    columns = [-0.25, -0.2, -0.15, -0.1, -0.05, 0, 0.05, 0.1, 0.15, 0.2, 0.25]
    np.testing.assert_allclose(np.linspace(-0.25, 0.25, round(0.5 / 0.05) + 1), columns, atol=1e-15)


# ---- 12 What routing does ---------------------------------------------------------------------------------------


def fisher_p(errors_a, errors_b, images=10_000):
    """Two-sided p-value of Fisher's exact test for two networks' errors, each on `images` images."""
    total = errors_a + errors_b
    ways = [math.comb(images, k) * math.comb(images, total - k) for k in range(total + 1)]
    return sum(w for w in ways if w <= ways[errors_a]) / math.comb(2 * images, total)


def clopper_pearson(errors, images, level=0.95):
    """The exact confidence interval of an error rate."""

    def at_most(count, rate):  # probability of `count` errors or fewer
        return sum(math.comb(images, k) * rate**k * (1 - rate) ** (images - k) for k in range(count + 1))

    def solve(above):  # the rate at which a falling condition turns false
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if above(middle) else (low, middle)
        return low

    tail = (1 - level) / 2
    return solve(lambda rate: 1 - at_most(errors - 1, rate) < tail), solve(lambda rate: at_most(errors, rate) > tail)


@pytest.mark.parametrize(("percent", "p"), [(0.39, 0.10), (0.29, 0.68)])
def test_table_1s_0_25_percent_against_the_cnn_and_against_one_iteration_is_not_significant(percent, p):
    errors = [round(10_000 * each / 100) for each in (0.25, percent)]
    assert round(fisher_p(*errors), 2) == p
    assert p > 0.05


def test_25_errors_of_10000_have_a_95_percent_interval_of_0_16_to_0_37_percent():
    assert [round(100 * rate, 2) for rate in clopper_pearson(25, 10_000)] == [0.16, 0.37]


def test_a_deviation_of_0_005_percent_is_half_an_image_three_runs_that_differ_by_one():
    assert 10_000 * 0.005 / 100 == 0.5
    for errors in itertools.product(range(6), repeat=3):  # of three runs, above the fewest
        percent = 100 * np.std(errors) / 10_000
        assert (round(percent, 3) == 0.005) == (max(errors) - min(errors) == 1)


# ---- 13 Beyond --------------------------------------------------------------------------------------------------


def norb_images(categories, toys):
    """Views of `toys` toys a category: 9 elevations, 18 azimuths, 6 lightings, one pair of pictures each."""
    return categories * toys * 9 * 18 * 6


def test_smallnorb_is_48600_pairs_of_50_toys_24300_in_each_half():
    assert norb_images(5, 10) == 48_600
    assert norb_images(5, 5) == 24_300


def test_norbs_29160_images_are_half_the_toys_with_a_sixth_category():
    assert norb_images(6, 5) == 29_160


def test_smallnorbs_96_pixels_halve_to_48_which_hold_17x17_crops_of_32():
    halved = zh.avg_pool2d(np.zeros((96, 96)), 2)
    assert halved.shape == (48, 48)
    assert zh.max_pool2d(halved, 32, stride=1).shape == (17, 17)
