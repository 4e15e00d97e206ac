"""Where networks fail, measured: rearranged faces, warped images, equivariance, gradient and one-pixel attacks."""

import numpy as np
import pytest
import torch

import zerohero as zh
from zerohero import limits, nn

LENET = "lenet5_digits"


@pytest.fixture(scope="module")
def lenet():
    return zh.weights.load(LENET)


@pytest.fixture(scope="module")
def digits():
    return zh.datasets.load("digits", "test", size=28)


@pytest.fixture(scope="module")
def framed():
    """The same scans with MNIST's margins, which a network trained on MNIST can read."""
    return zh.datasets.load("digits", "test", size=28, margin=4)


def state_of(model):
    return {name: (array.copy(), array.dtype) for name, array in model.state_dict().items()}


# ---- right parts in wrong places ----------------------------------------------------------------------------


def test_a_rearranged_face_has_all_its_rows_and_only_bands_have_moved(rng):
    face = rng.random((3, 1, 25, 25)).astype(np.float32)
    before = face.copy()
    for order in limits.ARRANGEMENTS:
        other = limits.rearranged(face, order)
        assert np.array_equal(np.sort(other, axis=2), np.sort(face, axis=2))
        for name, (top, bottom) in zip(order, limits.PARTS.values()):
            assert np.array_equal(other[:, :, top:bottom], face[:, :, slice(*limits.PARTS[name])])
    assert np.array_equal(limits.rearranged(face, limits.ARRANGEMENTS[0]), face) and np.array_equal(face, before)


def test_there_are_five_wrong_arrangements_and_parts_are_equally_tall():
    assert len(set(limits.ARRANGEMENTS)) == 6
    assert {bottom - top for top, bottom in limits.PARTS.values()} == {5}


# ---- warps --------------------------------------------------------------------------------------------------


def test_a_whole_shift_moves_pixels_exactly_and_nothing_wraps_around(rng):
    x = rng.random((2, 3, 6, 9)).astype(np.float32)
    moved = limits.warped(x, shift=(2, -1))
    assert np.array_equal(moved[..., :-1, 2:], x[..., 1:, :-2])
    assert not moved[..., -1, :].any() and not moved[..., :2].any()


@pytest.mark.parametrize("turns", [1, 2, 3, 4, -1])
def test_quarter_turns_are_exact_and_counter_clockwise(turns, rng):
    x = rng.random((1, 2, 7, 7))
    assert np.array_equal(limits.warped(x, rotation=90 * turns), np.rot90(x, turns, axes=(2, 3)))


def test_warps_agree_with_scipys_bilinear_affine_transform(rng):
    from scipy import ndimage

    x = rng.random((11, 8))
    turn, scale, shear, shift = np.radians(33.0), 1.3, 0.4, np.array([1.7, -0.6])  # shift: right, down
    middle = (np.array(x.shape) - 1) / 2
    c, s = np.cos(turn), np.sin(turn)
    pose = scale * np.array([[c, -s], [s, c]]) @ np.array([[1, shear], [0, 1]])  # on (right, up)
    flip = np.array([[0, -1], [1, 0]])  # (right, up) to (row, column)
    back = np.linalg.inv(flip @ pose @ np.linalg.inv(flip))
    offset = middle - back @ (middle + shift[::-1])
    expected = ndimage.affine_transform(x, back, offset, order=1, mode="grid-constant")
    ours = limits.warped(x, rotation=33, scale=scale, shear=shear, shift=tuple(shift))
    np.testing.assert_allclose(ours, expected, atol=1e-8)


@pytest.mark.parametrize("pose", [dict(rotation=30), dict(scale=0.8), dict(shear=0.3), dict(shift=(3.5, -2.0))])
def test_a_warped_glyph_is_the_glyph_drawn_under_that_pose(pose):
    drawn = zh.datasets.glyph("R", size=56, scale=0.7 * pose.get("scale", 1), **{k: v for k, v in pose.items()
                              if k != "scale"})  # fmt: skip
    warped = limits.warped(zh.datasets.glyph("R", size=56, scale=0.7), **pose)
    assert (
        np.abs(drawn - warped).mean() < 0.02 < 0.05 < np.abs(drawn - zh.datasets.glyph("R", size=56, scale=0.7)).mean()
    )


def test_a_curve_has_the_accuracy_of_evaluate_where_nothing_changes(lenet, digits):
    right = zh.training.evaluate(lenet, digits).accuracy
    for change, same in (("shift_x", 0), ("shift_y", 0), ("rotation", 0), ("scale", 1), ("shear", 0)):
        assert limits.accuracy_curve(lenet, digits, change, [same]) == [right]


class ColumnOfTheBrightest(nn.Module):
    def forward(self, x):
        return zh.Tensor((x.data if isinstance(x, zh.Tensor) else x).max(axis=(1, 2)))


def test_a_curve_moves_images_to_where_its_name_says():
    dot = np.zeros((1, 1, 12, 15), np.float32)
    dot[0, 0, 4, 6] = 1
    assert limits.accuracy_curve(ColumnOfTheBrightest(), (dot, [9]), "shift_x", [0, 3]).tolist() == [0, 1]
    assert limits.accuracy_curve(ColumnOfTheBrightest(), (dot, [6]), "shift_y", [0, 3]).tolist() == [1, 1]


# ---- equivariance -------------------------------------------------------------------------------------------


def right(pixels):
    return lambda x: limits.warped(x, shift=(pixels, 0))


def kernel(rng, *shape):
    return rng.normal(size=shape)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_convolution_is_equivariant_to_shifts_by_its_stride_away_from_the_border(stride, rng):
    x, w = rng.random((3, 2, 17, 20)), kernel(rng, 4, 2, 3, 3)
    found = limits.equivariance_error(
        lambda x: zh.conv2d(x, w, stride=stride, padding=1), x, right(stride), output_transform=right(1), border=2
    )
    assert found.error < 1e-12 < 0.5 < found.unrelated


def test_without_a_border_zero_padding_and_what_comes_in_count(rng):
    x, w = rng.random((3, 2, 17, 20)), kernel(rng, 4, 2, 3, 3)
    assert limits.equivariance_error(lambda x: zh.conv2d(x, w, padding=1), x, right(1), border=0).error > 0.1


def test_a_strided_convolution_is_not_equivariant_to_a_shift_by_less(rng):
    x, w = rng.random((3, 1, 17, 17)) - 0.5, kernel(rng, 2, 1, 3, 3)
    for output_transform in (right(0), right(1)):
        found = limits.equivariance_error(
            lambda x: zh.conv2d(x, w, stride=2), x, right(1), output_transform=output_transform, border=1
        )
        assert found.error > 0.8 * found.unrelated


@pytest.mark.parametrize("pixels, equivariant", [(1, False), (2, True), (3, False), (4, True)])
def test_max_pooling_is_equivariant_to_even_shifts_only(pixels, equivariant, rng):
    x = rng.random((3, 2, 24, 24))
    found = limits.equivariance_error(
        lambda x: zh.max_pool2d(x, 2), x, right(pixels), output_transform=right(round(pixels / 2)), border=3
    )
    assert (found.error < 1e-12) if equivariant else (found.error > 0.1)


def test_a_fully_connected_layer_is_equivariant_to_nothing(rng):
    x, w = rng.normal(size=(5, 1, 8, 8)), kernel(rng, 64, 64)
    found = limits.equivariance_error(lambda x: (x.reshape(5, 64) @ w).reshape(5, 1, 8, 8), x, right(1), border=1)
    assert found.error > 0.8 * found.unrelated


def test_a_convolution_follows_a_rotation_only_if_its_kernel_has_that_symmetry(rng):
    def turned(x):
        return limits.warped(x, rotation=90)

    x, w = rng.normal(size=(3, 1, 9, 9)), kernel(rng, 1, 1, 3, 3)
    symmetric = np.array([[1.0, 2, 1], [2, 5, 2], [1, 2, 1]])[None, None]
    assert limits.equivariance_error(lambda x: zh.conv2d(x, symmetric), x, turned, border=0).error < 1e-12
    assert limits.equivariance_error(lambda x: zh.conv2d(x, w), x, turned, border=0).error > 0.5


def test_the_errors_are_what_their_definition_says(rng):
    x = rng.random((4, 1, 6, 6))
    w = kernel(rng, 2, 1, 3, 3)
    a, b = zh.conv2d(right(2)(x), w), zh.conv2d(x, w)
    found = limits.invariance_error(lambda x: zh.conv2d(x, w), x, right(2), border=1)
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    a, b = a[inside], b[inside]
    assert found.error == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(b))
    assert found.unrelated == pytest.approx(np.linalg.norm(a - b[[3, 0, 1, 2]]) / np.linalg.norm(b))


def test_errors_do_not_depend_on_the_scale_of_the_outputs_or_the_dtype_of_the_images(rng):
    x, w = rng.random((3, 1, 9, 9)), kernel(rng, 2, 1, 3, 3)
    one, thousand = (
        limits.invariance_error(lambda x, k=k: k * zh.conv2d(x, w), x, right(1), border=1) for k in (1, 1000)
    )
    assert one.error == pytest.approx(thousand.error, rel=1e-9)
    single = limits.invariance_error(lambda x: zh.conv2d(x, w), x.astype(np.float32), right(1), border=1)
    assert one.error == pytest.approx(single.error, rel=1e-4)


def test_a_single_image_has_nothing_unrelated_to_compare_with(rng):
    found = limits.invariance_error(lambda x: x, rng.random((1, 1, 5, 5)), right(1))
    assert found.error > 0 and np.isnan(found.unrelated)


# ---- layers -------------------------------------------------------------------------------------------------


def test_the_layers_of_lenet_are_those_of_its_forward_pass(lenet, digits):
    x = digits.images[:3]
    conv1 = zh.conv2d(x, lenet.conv1.weight.data, lenet.conv1.bias.data, padding=2)
    pool1 = zh.max_pool2d(zh.relu(conv1), 2)
    conv2 = zh.conv2d(pool1, lenet.conv2.weight.data, lenet.conv2.bias.data)
    pool2 = zh.max_pool2d(zh.relu(conv2), 2)
    for name, expected in (("conv1", conv1), ("max_pool2d", pool1), ("conv2", conv2), ("max_pool2d#2", pool2)):
        np.testing.assert_allclose(limits.layer_output(lenet, x, name), expected, atol=1e-5)
    np.testing.assert_allclose(limits.layer_output(lenet, x), lenet.scores(x), atol=1e-5)


@pytest.mark.parametrize("name", ["resnet20_cifar10", "capsnet_mnist"])
def test_every_row_of_a_summary_is_a_layer(name):
    model = zh.weights.load(name)
    shape = (2, 3, 32, 32) if "cifar" in name else (2, 1, 28, 28)
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    seen = {}
    for row in model.summary(shape).rows[:12]:
        seen[row.name] = seen.get(row.name, 0) + 1
        layer = row.name if seen[row.name] == 1 else f"{row.name}#{seen[row.name]}"
        assert limits.layer_output(model, x, layer).shape == row.output_shape


def test_batches_do_not_change_a_layers_output(lenet, digits):
    x = digits.images[:7]
    np.testing.assert_allclose(
        limits.layer_output(lenet, x, "fc1", batch_size=3), limits.layer_output(lenet, x, "fc1"), atol=1e-5
    )


# ---- FGSM ---------------------------------------------------------------------------------------------------


class TorchLeNet5(torch.nn.Module):
    """LeNet-5 with ReLU and max pooling, its parameters named as ours."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = torch.nn.Conv2d(1, 6, 5, padding=2), torch.nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = torch.nn.Linear(400, 120), torch.nn.Linear(120, 84), torch.nn.Linear(84, 10)

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = torch.nn.functional.max_pool2d(torch.relu(conv(x)), 2)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x.flatten(1))))))


def torch_fgsm(model, images, labels, epsilon):
    """As in the paper, in PyTorch."""
    x = torch.tensor(images, requires_grad=True)
    torch.nn.functional.cross_entropy(model(x), torch.tensor(labels)).backward()
    return (x + epsilon * x.grad.sign()).clamp(0, 1).detach().numpy(), x.grad.numpy()


@pytest.fixture(scope="module")
def twin(lenet):
    """The same weights in PyTorch, in float64, so that no sign hangs on a rounding."""
    model = TorchLeNet5().double()
    model.load_state_dict(
        {name: torch.tensor(array, dtype=torch.float64) for name, array in lenet.state_dict().items()}
    )
    return model.eval()


def in_float64(model):
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)
    return model


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.3])
def test_fgsm_agrees_with_pytorch_on_the_same_weights(epsilon, twin, digits):
    lenet = in_float64(zh.weights.load(LENET))
    images, labels = digits.images[:100].astype(np.float64), digits.labels[:100]
    expected, slope = torch_fgsm(twin, images, labels, epsilon)
    clear = np.abs(slope) > 1e-12 * np.abs(slope).max(axis=(1, 2, 3), keepdims=True)  # elsewhere 0, or rounding
    ours = limits.fgsm(lenet, images, labels, epsilon)
    assert clear.mean() > 0.5 and ours.dtype == np.float64
    np.testing.assert_allclose(ours[clear], expected[clear], atol=1e-12)


def test_fgsm_stays_within_epsilon_and_within_the_range_of_pixels(lenet, digits):
    changed = limits.fgsm(lenet, digits.images, digits.labels, 0.15)
    assert np.abs(changed - digits.images).max() <= 0.15 + 1e-6
    assert changed.min() >= 0 and changed.max() <= 1
    assert (changed != digits.images).any(axis=(1, 2, 3)).all()


def test_fgsm_raises_the_loss(lenet, digits):
    loss = [zh.training.evaluate(lenet, (x, digits.labels)).loss for x in (
        digits.images,
        limits.fgsm(lenet, digits.images, digits.labels, 0.1),
    )]  # fmt: skip
    assert loss[1] > 10 * loss[0]


def test_batches_do_not_change_fgsm(lenet, digits):
    several = limits.fgsm(lenet, digits.images[:10], digits.labels[:10], 0.1, batch_size=3)
    whole = limits.fgsm(lenet, digits.images[:10], digits.labels[:10], 0.1)
    assert (several != whole).mean() < 0.01  # where a slope is nearly 0


def test_a_capsnets_own_loss_is_flat_where_it_is_sure_and_the_score_gap_is_not(framed):
    model = zh.weights.load("capsnet_mnist")
    v = model.capsules(framed.images)
    sure = np.flatnonzero([zh.margin_loss(v[i : i + 1], [label]) == 0 for i, label in enumerate(framed.labels)])[:5]
    assert len(sure) == 5
    x, y = framed.images[sure], framed.labels[sure]
    assert np.array_equal(limits.fgsm(model, x, y, 0.1), x)
    moved = limits.fgsm(model, x, y, 0.1, loss=limits.score_gap)
    assert (moved != x).any(axis=(1, 2, 3)).all()
    assert (limits.margins(model, moved, y) < limits.margins(model, x, y)).all()


def test_the_score_gap_is_minus_the_mean_margin(lenet, digits):
    scores = zh.Tensor(lenet.scores(digits.images))
    gap = limits.score_gap(scores, digits.labels).item()
    assert gap == pytest.approx(-limits.margins(lenet, digits.images, digits.labels).mean(), rel=1e-5)


# ---- one pixel ----------------------------------------------------------------------------------------------


class Planted(nn.Module):
    """Says 0, unless one pixel is nearly white: then 1. Nearer to white and nearer to the place, a little less sure."""

    def __init__(self, row, column, channels=1, height=12, width=15):
        self.row, self.column, self.channels = row, column, channels

    def forward(self, x):
        seen = x.data if isinstance(x, zh.Tensor) else x
        spot = seen[:, :, self.row, self.column].min(axis=1)
        near = seen[:, :, max(self.row - 3, 0) : self.row + 4, max(self.column - 3, 0) : self.column + 4].mean(
            (1, 2, 3)
        )
        second = np.where(spot > 0.9, 2.0, near)
        return zh.Tensor(np.stack([np.ones_like(second), second], axis=1))


@pytest.mark.parametrize("row, column, channels", [(0, 0, 1), (11, 14, 1), (4, 9, 1), (7, 3, 3)])
def test_the_search_finds_a_planted_weakness(row, column, channels):
    image = np.zeros((channels, 12, 15), np.float32)
    found = limits.one_pixel(Planted(row, column), image, 0, population=100, generations=60)
    assert (found.success, found.row, found.column, found.answer) == (True, row, column, 1)
    assert min(found.value) > 0.9 and found.margin < 0
    assert found.evaluations < 100 * (60 + 1)  # it stops at the first success
    changed = np.argwhere((found.image != image).any(axis=0))
    assert changed.tolist() == [[row, column]]


def test_where_there_is_no_weakness_the_search_says_so_and_keeps_its_budget():
    class Stubborn(nn.Module):
        asked = 0

        def forward(self, x):
            Stubborn.asked += len(x.data)
            return zh.Tensor(np.tile([1.0, 0.0], (len(x.data), 1)))

    found = limits.one_pixel(Stubborn(), np.zeros((1, 6, 6)), 0, population=10, generations=4)
    assert not found.success and found.evaluations == 50 and found.margin == 1
    assert Stubborn.asked == 50 + 2  # the image itself, and the best candidate once more


def test_the_same_seed_gives_the_same_search(lenet, digits):
    first, again = (limits.one_pixel(lenet, digits.images[0], digits.labels[0], generations=3) for _ in range(2))
    assert (first.row, first.column, first.value) == (again.row, again.column, again.value)


def test_the_search_comes_near_to_the_best_of_all_pixels(lenet, digits):
    ratios = []
    for image, label in list(zip(digits.images, digits.labels))[:5]:
        best = min(limits.pixel_map(lenet, image, label, value).min() for value in (0, 1))
        start = limits.margins(lenet, image[None], label)[0]
        found = limits.one_pixel(lenet, image, label, population=100, generations=30)
        ratios.append((start - found.margin) / (start - best))
    assert min(ratios) > 0.7 and max(ratios) < 1.01  # for a grey pixel nothing beats black or white here


def test_differential_evolution_reaches_what_scipys_reaches(lenet, digits):
    from scipy.optimize import differential_evolution

    image, label = digits.images[3], digits.labels[3]

    def margin(x):
        places = np.floor(x[:2].T).clip(0, 27)
        return limits.margins(lenet, limits.with_pixel(image, np.hstack([places, x[2:].T])), label)

    theirs = differential_evolution(margin, [(0, 28), (0, 28), (0, 1)], strategy="rand1bin", mutation=0.5,
                                    recombination=1, popsize=34, maxiter=30, tol=0, polish=False, vectorized=True,
                                    updating="deferred", seed=0)  # fmt: skip
    ours = limits.one_pixel(lenet, image, label, population=102, generations=30)
    before = limits.margins(lenet, image[None], label)[0]
    assert before - ours.margin > 0.9 * (before - theirs.fun)


def test_a_pixel_map_is_the_margin_of_each_image_with_that_pixel(lenet, digits):
    image, label = digits.images[0], digits.labels[0]
    found = limits.pixel_map(lenet, image, label, 1.0)
    for row, column in ((0, 0), (3, 20), (14, 9)):
        changed = image.copy()
        changed[0, row, column] = 1
        assert found[row, column] == pytest.approx(limits.margins(lenet, changed[None], label)[0], abs=1e-4)


def test_changes_do_not_add_up_over_candidates_and_reach_all_channels(rng):
    image = rng.random((3, 4, 5))
    changed = limits.with_pixel(image, [[0, 1, 0.1, 0.2, 0.3], [3, 4, 0.4, 0.5, 0.6]])
    assert changed[1, :, 3, 4].tolist() == [0.4, 0.5, 0.6]
    assert np.array_equal(changed[1, :, 0, 1], image[:, 0, 1])
    assert [(changed[i] != image).sum() for i in (0, 1)] == [3, 3]


# ---- what stays as it was -----------------------------------------------------------------------------------


def measure_all(model, images, labels):
    limits.fgsm(model, images, labels, 0.1)
    limits.one_pixel(model, images[0], labels[0], population=5, generations=1)
    limits.pixel_map(model, images[0], labels[0], 1)
    limits.accuracy_curve(model, (images, labels), "rotation", [10])
    limits.equivariance_error(model, images, right(1), layer="conv1", border=3)
    limits.invariance_error(model, images, right(1))
    limits.layer_output(model, images, "conv1")


@pytest.mark.parametrize("name", [LENET, "capsnet_mnist"])
@pytest.mark.parametrize("kind", [lambda x: x, zh.Tensor, lambda x: x.tolist()], ids=["array", "Tensor", "list"])
def test_models_and_images_stay_as_they_were(name, kind, digits):
    model = zh.weights.load(name).train()
    images, labels = digits.images[:4].copy(), model.predict(digits.images[:4])
    before, pixels = state_of(model), images.copy()
    given = kind(images)
    measure_all(model, given, labels)
    after = state_of(model)
    assert all(np.array_equal(before[n][0], after[n][0]) and before[n][1] == after[n][1] for n in before)
    assert all(module.training for _, module in model.named_modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert np.array_equal(images, pixels)


def test_a_model_in_training_mode_is_measured_in_evaluation_mode(rng):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 2))
    x, y = rng.random((6, 1, 6, 6)).astype(np.float32), np.zeros(6, int)
    model.train()
    running = model[1].running_mean.copy()
    first, second = (limits.fgsm(model, x, y, 0.1) for _ in range(2))
    assert np.array_equal(first, second) and np.array_equal(model[1].running_mean, running)
    assert np.array_equal(limits.layer_output(model, x, "2"), limits.layer_output(model, x, "1"))  # no dropout


# ---- one sentence for everything wrong ----------------------------------------------------------------------

X = np.zeros((2, 1, 28, 28), np.float32)
SMALL = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2))
IMAGE = np.zeros((1, 8, 8), np.float32)

WRONG = {
    "a face of another size": (lambda: limits.rearranged(X, limits.ARRANGEMENTS[1]), "faces needs images of 25×25"),
    "a part twice": (lambda: limits.rearranged(X[..., :25, :25], ("eyes", "eyes", "nose")), "order needs each of"),
    "a part alone": (lambda: limits.rearranged(X[..., :25, :25], "eyes"), "order needs each of"),
    "images of text": (lambda: limits.warped("face"), "images needs numbers"),
    "a ragged image": (lambda: limits.warped([[1], [1, 2]]), "rows of equal length"),
    "an image of NaN": (lambda: limits.warped(np.full((3, 3), np.nan)), "needs finite numbers"),
    "no image": (lambda: limits.warped(X[:0]), "none of them 0"),
    "five axes": (lambda: limits.warped(X[None]), r"needs shape \(H, W\), "),
    "a shift by one number": (lambda: limits.warped(X, shift=2), r"shift needs two numbers, \(right, down\)"),
    "a scale of 0": (lambda: limits.warped(X, scale=0), "scale needs to lie in"),
    "a rotation by NaN": (lambda: limits.warped(X, rotation=np.nan), "rotation needs to lie in"),
    "a change without a name": (lambda: limits.accuracy_curve(SMALL, (X, [0, 1]), "spin", [1]), "change needs one of"),
    "no values": (lambda: limits.accuracy_curve(SMALL, (X, [0, 1]), "scale", []), "values needs at least one"),
    "data without labels": (lambda: limits.accuracy_curve(SMALL, X, "scale", [1]), "data needs a Dataset or"),
    "labels too few": (lambda: limits.accuracy_curve(SMALL, (X, [0]), "scale", [1]), r"labels needs shape \(2,\)"),
    "a layer that isn't there": (
        lambda: limits.layer_output(SMALL, X[..., :8, :8], "conv9"), "layer needs one of 0.conv2d, 0, .*got 'conv9'"
    ),
    "a layer of a function": (lambda: limits.invariance_error(abs, X, right(1), layer="0"), "needs to be a Module"),
    "a model that is none": (lambda: limits.invariance_error(3, X, right(1)), "model needs to be a Module"),
    "a transform that is none": (lambda: limits.invariance_error(abs, X, 3), "transform needs to be a function"),
    "a border of maps that are none": (
        lambda: limits.invariance_error(SMALL, X[..., :8, :8], right(1), border=1), "border needs to be 0"
    ),
    "a border that leaves nothing": (
        lambda: limits.equivariance_error(lambda x: x + 1, X, right(1), border=14), "nothing to compare"
    ),
    "shapes that differ": (
        lambda: limits.equivariance_error(lambda x: x + 1, X, lambda x: x[..., :9, :9], border=0,
                                          output_transform=lambda y: y), "give an output_transform that fits"
    ),
    "outputs that are all 0": (lambda: limits.invariance_error(lambda x: 0 * x, X, right(1)), "nothing to compare"),
    "one output for all images": (lambda: limits.invariance_error(np.sum, X, right(1)), "an output for each image"),
    "a negative step": (lambda: limits.fgsm(SMALL, X[..., :8, :8], [0, 1], -0.1), "epsilon needs to lie in"),
    "pixels out of range": (lambda: limits.fgsm(SMALL, X[..., :8, :8] + 2, [0, 1], 0.1), r"pixels within \[0, 1\]"),
    "low above high": (lambda: limits.fgsm(SMALL, X[..., :8, :8], [0, 1], 0.1, low=1, high=0), "low needs to be below"),
    "labels of another kind": (lambda: limits.fgsm(SMALL, X[..., :8, :8], [0.5, 1], 0.1), "labels needs integers"),
    "a label that is no class": (lambda: limits.fgsm(SMALL, X[..., :8, :8], [0, 7], 0.1), "from 0 to 1 for 2 classes"),
    "a batch for one pixel": (lambda: limits.one_pixel(SMALL, X[..., :8, :8], 0), "needs to be one image"),
    "an image that is wrong already": (
        lambda: limits.one_pixel(Planted(0, 0), IMAGE, 1), "needs to be classified rightly, as 1, but the model says 0"
    ),
    "three candidates": (lambda: limits.one_pixel(SMALL, IMAGE, 0, population=3), "population needs to be at least 4"),
    "a candidate outside": (lambda: limits.with_pixel(IMAGE, [[8, 0, 1]]), "inside 8×8 pixels"),
    "a candidate between pixels": (lambda: limits.with_pixel(IMAGE, [[0.5, 0, 1]]), "whole rows and columns"),
    "a candidate without a value": (lambda: limits.with_pixel(IMAGE, [[1, 1]]), r"shape \(n, 3\): row, column and 1"),
    "scores of one class": (
        lambda: limits.margins(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), X[..., :8, :8], 0), "two or more"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_gets_one_sentence(case):
    call, sentence = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=sentence) as caught:
        call()
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match=r"zerohero\.limits"):
        _ = limits.nothing
