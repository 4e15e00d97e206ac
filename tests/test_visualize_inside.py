"""What is drawn of the inside of networks, searched there, and dreamt: held to loops, to PyTorch and to SciPy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

import zerohero as zh
from zerohero import nn, visualize
from zerohero.visualize.maps import ChannelReport, Maximal
from zerohero.visualize.synthesis import Synthesis, blurred, roughness

torch.set_num_threads(1)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def small():
    """(N, 2, 9, 8) → convolution, ReLU, pooling → scores (N, 3)."""
    zh.seed(5)
    conv = nn.Conv2d(2, 4, 3, padding=1)
    return nn.Sequential(conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 4 * 4, 3))


def shown(ax):
    """The numbers behind the first image of some axes."""
    return np.asarray(ax.images[0].get_array())


# ---- searching ---------------------------------------------------------------------------------------------------


def test_the_most_exciting_images_are_those_that_a_loop_finds_each_with_its_own_place_and_patch(small, rng):
    images = rng.random((11, 2, 9, 8)).astype(np.float32)
    found = visualize.maximal_images(small, images, "0", 2, count=4, batch_size=3)
    maps = visualize.activations(small, images, "0")[:, 2]
    best = sorted(range(11), key=lambda n: -maps[n].max())[:4]
    assert found.indices.tolist() == best
    for k, n in enumerate(best):
        row, column = np.unravel_index(maps[n].argmax(), maps[n].shape)
        assert found.values[k] == maps[n].max() and found.places[k].tolist() == [row, column]
        top, bottom, left, right = max(row - 1, 0), min(row + 2, 9), max(column - 1, 0), min(column + 2, 8)
        np.testing.assert_array_equal(found.patches[k], images[n, :, top:bottom, left:right])


def test_a_pooled_unit_sees_the_windows_of_all_that_it_pools(small, rng):
    images = rng.random((3, 2, 9, 8)).astype(np.float32)
    found = visualize.maximal_images(small, images, "2", 0, count=3)
    for (row, column), (top, left, height, width) in zip(found.places.tolist(), found.boxes):
        assert (top, left) == (max(2 * row - 1, 0), max(2 * column - 1, 0))
        assert (top + height, left + width) == (min(2 * row + 3, 9), min(2 * column + 3, 8))


def test_a_unit_without_a_place_sees_the_whole_image(small, rng):
    found = visualize.maximal_images(small, rng.random((3, 2, 9, 8)).astype(np.float32), "4", 1, count=2)
    assert found.boxes == [(0, 0, 9, 8)] * 2


def test_a_report_counts_images_in_which_a_channel_is_above_0_somewhere(small, rng):
    small[0].bias.data[:] = [0, -0.45, -100, -0.3]
    images = rng.random((20, 2, 9, 8)).astype(np.float32)
    maps = visualize.activations(small, images, "0")
    report = visualize.dead_channels(small, images, "1", batch_size=6)
    np.testing.assert_allclose(report.active, [(maps[:, k].max((1, 2)) > 0).mean() for k in range(4)])
    np.testing.assert_allclose(report.largest, np.maximum(maps, 0).max((0, 2, 3)))
    assert report.dead == [2] and 0 < report.active[1] < 1


def test_map_similarity_is_spearmans_correlation_with_ties(rng):
    a = rng.integers(0, 5, (6, 7))
    b = a + rng.integers(0, 5, (6, 7))
    assert visualize.map_similarity(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert visualize.map_similarity(a, -a) == pytest.approx(-1)
    assert visualize.map_similarity(a, np.ones_like(a)) == 0


# ---- other rules and other questions --------------------------------------------------------------------------------


def test_the_guided_gradient_stops_at_silent_units_and_at_negative_gradients(small, rng):
    image = rng.random((2, 9, 8)).astype(np.float32)
    conv, readout = small[0], small[4]
    y = zh.relu(zh.conv2d(image[None], conv.weight.data, conv.bias.data, padding=1))
    back = torch.tensor(np.array(y), requires_grad=True)
    pooled = torch.nn.functional.max_pool2d(back, 2).flatten(1)
    (pooled @ torch.tensor(readout.weight.data).T)[0, 1].backward()
    stopped = np.maximum(back.grad.numpy(), 0) * (y > 0)
    expected = zh.conv_transpose2d(stopped, conv.weight.data, padding=1)[0]
    np.testing.assert_allclose(visualize.input_gradient(small, image, 1, rule="guided"), expected, atol=1e-6)


def test_the_deconvnet_goes_on_at_silent_units_and_stops_negative_gradients(rng):
    zh.seed(2)
    first, second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3)
    model, image = nn.Sequential(first, nn.ReLU(), second), rng.random((1, 9, 8)).astype(np.float32)
    y, maps = visualize.activations(model, image, "1"), visualize.activations(model, image, "2")
    one = np.zeros_like(maps)
    one[1].flat[maps[1].argmax()] = 1
    back = zh.conv_transpose2d(one[None], second.weight.data)
    assert (back * (y > 0) < 0).any() and (back * (y <= 0) > 0).any()  # both rules of a ReLU are asked
    expected = zh.conv_transpose2d(np.maximum(back, 0), first.weight.data)[0]
    found = visualize.input_gradient(model, image, rule="deconvnet", layer="2", channel=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_occlusion_can_ask_for_the_probability_and_cover_with_a_number(small, rng):
    image = rng.random((2, 9, 8)).astype(np.float32)
    found = visualize.occlusion(small, image, 2, size=8, stride=8, fill=0.25, of="probability")
    pictures = np.stack([image, image, image])
    pictures[1, :, :8], pictures[2, :, 1:] = 0.25, 0.25  # the square's two places
    before, first, last = zh.softmax(small.scores(pictures))[:, 2]
    np.testing.assert_allclose(found[0], before - first, atol=1e-6)
    np.testing.assert_allclose(found[1:8], before - (first + last) / 2, atol=1e-6)


def test_a_cascade_shuffles_the_last_layers_alone_and_keeps_their_numbers(small):
    before = [p.data.copy() for p in small.parameters()]
    with visualize.randomized(small, 1, seed=3):
        now = [p.data.copy() for p in small.parameters()]
    same = [np.array_equal(a, b) for a, b in zip(before, now)]
    assert same == [True, True, False, True]  # weight and bias of the convolution, weight and bias of the readout
    np.testing.assert_array_equal(np.sort(now[2].ravel()), np.sort(before[2].ravel()))


# ---- images that are made -------------------------------------------------------------------------------------------


def test_roughness_is_the_mean_square_difference_of_neighbours(rng):
    x = rng.random((1, 2, 5, 6))
    expected = (np.diff(x, axis=2) ** 2).mean() + (np.diff(x, axis=3) ** 2).mean()
    assert roughness(zh.Tensor(x)).item() == pytest.approx(expected)


def test_a_blur_is_gaussian_and_keeps_a_plain_image_plain(rng):
    x = rng.random((1, 1, 40, 42))
    found = blurred(x, 1.5)[0, 0, 12:28, 12:28]
    np.testing.assert_allclose(found, gaussian_filter(x[0, 0], 1.5, truncate=8)[12:28, 12:28], atol=1e-6)
    np.testing.assert_allclose(blurred(np.full((1, 1, 6, 7), 0.3), 2.0), 0.3)


class Mean(nn.Module):
    """One score: the mean of all pixels."""

    def forward(self, x):
        return x.mean(axis=(1, 2, 3)).reshape((len(x), 1))


def test_each_penalty_makes_an_image_smoother_or_nearer_to_grey(small, rng):
    common = {"shape": (2, 9, 8), "steps": 40, "lr": 0.05, "progress": False}
    plain, smooth, grey = (
        visualize.maximize_activation(small, None, 1, **common, **more)
        for more in ({}, {"total_variation": 50.0}, {"l2": 50.0})
    )
    rough = [roughness(zh.Tensor(made.image[None])).item() for made in (plain, smooth)]
    away = [((made.image - 0.5) ** 2).mean() for made in (plain, grey)]
    assert rough[1] < 0.3 * rough[0] and away[1] < 0.3 * away[0]
    assert plain.history[-1] > plain.history[0]


def test_pixels_stay_within_limits_of_ones_own():
    made = visualize.maximize_activation(
        Mean(), None, 0, shape=(1, 4, 5), limits=(-2.0, 3.0), steps=100, lr=0.2, progress=False
    )
    np.testing.assert_allclose(made.image, 3.0)
    assert abs(made.start.mean() - 0.5) < 0.2  # half way


def test_a_step_of_a_dream_goes_along_the_gradient_of_the_mean_square_by_its_own_size(small, rng):
    image = rng.uniform(0.3, 0.7, (2, 9, 8)).astype(np.float32)
    for channel, part in ((None, slice(None)), (2, slice(2, 3))):
        pixels = torch.tensor(image[None], requires_grad=True)
        weight, bias = (torch.tensor(p.data) for p in (small[0].weight, small[0].bias))
        maps = torch.nn.functional.conv2d(pixels, weight, bias, padding=1)[:, part]
        (0.5 * (maps**2).mean()).backward()
        gradient = pixels.grad[0].numpy()
        expected = (image + 0.02 * gradient / np.abs(gradient).mean()).clip(0, 1)
        options = {"octaves": 1, "steps": 1, "lr": 0.02, "progress": False}
        for jitter in (0, 3):
            found = visualize.deep_dream(small, image, "0", channel, jitter=jitter, **options)
            inner = np.s_[:, 4:-4, 4:-4] if jitter else np.s_[:]  # at the edges a shifted image has other neighbours
            if not jitter:
                np.testing.assert_allclose(found[inner], expected[inner], atol=1e-4)
            assert found.shape == image.shape


class Watching(nn.Module):
    """Gives its input back, and remembers the sizes that it saw."""

    def __init__(self):
        self.same, self.seen = nn.Identity(), []

    def forward(self, x):
        self.seen.append(x.shape[2:])
        return self.same(x)


def test_octaves_go_from_small_to_the_images_own_size_and_put_its_detail_back(rng):
    image, model = rng.random((1, 30, 20)).astype(np.float32), Watching()
    visualize.deep_dream(model, image, "same", octaves=3, scale=2.0, steps=2, progress=False)
    assert [tuple(size) for size in model.seen] == [(8, 5)] * 2 + [(15, 10)] * 2 + [(30, 20)] * 2
    still = visualize.deep_dream(model, image, "same", octaves=3, scale=2.0, steps=2, lr=0.0, progress=False)
    np.testing.assert_allclose(still, image, atol=1e-6)


def test_a_shift_before_a_step_is_taken_back(rng):
    image = rng.random((1, 12, 11)).astype(np.float32)
    shifted, plain = (
        visualize.deep_dream(Watching(), image, "same", octaves=1, steps=3, jitter=j, progress=False) for j in (3, 0)
    )
    np.testing.assert_allclose(shifted, plain, atol=1e-6)  # this model treats every pixel alike


# ---- pictures -------------------------------------------------------------------------------------------------------

MAPS = np.array([[[-2.0, 0], [1, 2]], [[0, 1], [4, 6]], [[5, 5], [5, 5]]])


@pytest.mark.parametrize(
    "scale, first",
    [
        ("layer", (MAPS[0] + 2) / 8),
        ("channel", (MAPS[0] + 2) / 4),
        ("zero", np.maximum(MAPS[0], 0) / 6),
    ],
)
def test_a_grid_of_activations_shows_each_chosen_channel_in_grey(scale, first):
    fig = visualize.activation_grid(MAPS, scale=scale, channels=[2, 0])
    assert [ax.get_title() for ax in fig.axes[:2]] == ["2", "0"]
    np.testing.assert_allclose(shown(fig.axes[1]), first)
    assert fig.axes[1].images[0].get_clim() == (0, 1)


def test_a_chart_of_channels_marks_the_dead_ones():
    report = ChannelReport("conv1", 20, np.array([0.0, 1.5, -3.0]), np.array([0.0, 0.4, 0.0]))
    ax = visualize.channel_chart(report).axes[0]
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], [0, 40, 0])
    assert ax.lines[0].get_xdata().tolist() == [0, 2]


@pytest.fixture
def maximal(rng):
    boxes = [(0, 0, 3, 3), (1, 2, 4, 3)]
    return Maximal("conv1", 1, np.array([4, 7]), np.array([2.0, 1.5]), np.zeros((2, 2), int), boxes,
                   rng.random((2, 1, 6, 7)))  # fmt: skip


def test_the_most_exciting_images_are_drawn_with_a_frame_around_the_patch(maximal):
    fig = visualize.maximal_grid(maximal)
    np.testing.assert_allclose(shown(fig.axes[1]).squeeze(), maximal.images[1, 0])
    frame = fig.axes[1].patches[-1]
    assert (*frame.get_xy(), frame.get_width(), frame.get_height()) == (1.5, 0.5, 3, 4)
    assert fig.axes[0].get_title() == "2.00"


def test_patches_are_drawn_alone(maximal):
    fig = visualize.maximal_grid(maximal, patches=True)
    np.testing.assert_allclose(shown(fig.axes[1]).squeeze(), maximal.images[1, 0, 1:5, 2:5])


def test_a_channel_is_drawn_over_the_whole_image_and_only_where_it_is_above_0():
    fig = visualize.channel_picture(np.eye(8), MAPS[0])
    over = fig.axes[2].images[1]
    np.testing.assert_allclose(np.asarray(over.get_array()), np.maximum(MAPS[0], 0))
    assert list(over.get_extent()) == [-0.5, 7.5, 7.5, -0.5] and over.get_clim() == (-2, 2)


def test_heat_maps_have_a_scale_of_their_own_with_0_in_the_middle():
    fig = visualize.heatmaps(np.eye(6), {"one": np.eye(6) * 3, "two": -np.eye(6) - 1})
    one, two = (next(ax for ax in fig.axes if ax.get_title() == name).images[1] for name in ("one", "two"))
    assert one.get_clim() == (-3, 3) and two.get_clim() == (-2, 2)
    np.testing.assert_allclose(np.asarray(two.get_array()), -np.eye(6) - 1)


def test_a_climb_shows_the_start_the_result_and_the_way(rng):
    made = Synthesis(rng.random((1, 4, 5)), rng.random((1, 4, 5)), [1.0, 3.0, 8.0], "activation")
    axes = visualize.climb(made).axes
    np.testing.assert_allclose(shown(axes[0]), made.start[0])
    np.testing.assert_allclose(shown(axes[1]), made.image[0])
    assert axes[2].lines[0].get_ydata().tolist() == [1, 3, 8] and axes[2].get_ylabel() == "activation"


def test_syntheses_carry_their_names_and_what_they_reached(rng):
    made = {n: Synthesis(rng.random((1, 4, 4)), np.zeros((1, 4, 4)), [0.0, v], "w") for n, v in (("a", 2.5), ("b", 7))}
    fig = visualize.syntheses(made, first=np.eye(4)[None])
    assert [ax.get_title().split("\n") for ax in fig.axes[:3]] == [["the image", ""], ["a", "2.5"], ["b", "7"]]
    np.testing.assert_allclose(shown(fig.axes[2]).squeeze(), made["b"].image[0])
