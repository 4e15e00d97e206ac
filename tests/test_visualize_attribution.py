"""Which pixels matter, and images made for a network: held to PyTorch's hooks, to loops, and to a sanity check."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch_twins as twins

import zerohero as zh
from zerohero import nn, visualize

torch.set_num_threads(1)
IMAGE = np.random.default_rng(0).random((3, 32, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def resnet():
    return zh.weights.load("resnet20_cifar10")


@pytest.fixture(scope="module")
def twin(resnet):
    model = twins.ResNetCIFARTwin(20)
    state = {name: torch.tensor(np.array(value)) for name, value in resnet.state_dict().items()}
    model.load_state_dict(state, strict=False)
    return model.eval()


@pytest.mark.parametrize("target", [0, 3, 9])
def test_saliency_is_that_of_pytorch(resnet, twin, target):
    pixels = torch.tensor(IMAGE[None], requires_grad=True)
    twin(pixels)[0, target].backward()
    expected = pixels.grad[0].abs().amax(0).numpy()
    np.testing.assert_allclose(visualize.saliency(resnet, IMAGE, target), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("layer", ["layer2", "layer3", "layer3.2.conv1"])
@pytest.mark.parametrize("target", [3, 8])
def test_grad_cam_is_that_of_pytorchs_hooks(resnet, twin, layer, target):
    kept = {}
    hook = twin.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.update(maps=o))
    score = twin(torch.tensor(IMAGE[None]))[0, target]
    hook.remove()
    (gradient,) = torch.autograd.grad(score, kept["maps"])
    heat = F.relu((gradient.mean((2, 3), keepdim=True) * kept["maps"]).sum(1, keepdim=True))
    heat = F.interpolate(heat, size=(32, 32), mode="bilinear", align_corners=False)[0, 0].detach().numpy()
    ours = visualize.grad_cam(resnet, IMAGE, layer, target)
    np.testing.assert_allclose(ours, heat, rtol=1e-3, atol=1e-4 * max(heat.max(), 1e-3))


def test_occlusion_is_the_mean_drop_of_the_score_over_the_squares_that_cover_a_pixel(resnet, twin):
    image, size, stride = torch.tensor(IMAGE), 7, 5
    starts = [0, 5, 10, 15, 20, 25]
    total, times = np.zeros((32, 32)), np.zeros((32, 32))
    with torch.no_grad():
        whole = twin(image[None])[0, 3]
        for top in starts:
            for left in starts:
                covered = image.clone()
                covered[:, top : top + size, left : left + size] = image.mean((1, 2))[:, None, None]
                total[top : top + size, left : left + size] += (whole - twin(covered[None])[0, 3]).item()
                times[top : top + size, left : left + size] += 1
    ours = visualize.occlusion(resnet, IMAGE, 3, size=size, stride=stride)
    np.testing.assert_allclose(ours, total / times, rtol=1e-3, atol=1e-3)


def edges(model, image, target=None):
    """A "method" that never asks the network: how much each pixel differs from its neighbours."""
    grey = image.mean(0)
    return np.hypot(*np.gradient(grey))


def test_shuffled_weights_change_the_map_and_leave_an_edge_detector_as_it_was(resnet):
    def likeness(method):
        before = method(resnet, IMAGE, 3)
        with visualize.randomized(resnet):
            return visualize.map_similarity(before, method(resnet, IMAGE, 3))

    assert abs(likeness(visualize.saliency)) < 0.5
    assert likeness(edges) > 0.999  # what the check is for: it finds the planted edge detector


def test_the_model_stays_as_it_was(resnet):
    resnet.train()
    try:
        before = {name: np.array(value) for name, value in resnet.state_dict().items()}
        visualize.grad_cam(resnet, IMAGE, "layer3", 1)
        visualize.saliency(resnet, IMAGE, 1)
        visualize.input_gradient(resnet, IMAGE, rule="guided")
        visualize.maximize_activation(resnet, "layer1", 2, shape=(3, 16, 16), steps=2, progress=False)
        with visualize.randomized(resnet):
            pass
        assert resnet.training and all(m.training for _, m in resnet.named_modules())
        assert all(p.requires_grad and p.grad is None for p in resnet.parameters())
        assert all(np.array_equal(before[name], value) for name, value in resnet.state_dict().items())
    finally:
        resnet.eval()


def test_a_deconvnet_goes_back_through_a_convolution_as_a_transposed_convolution():
    zh.seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    image = np.random.default_rng(1).random((1, 6, 7)).astype(np.float32)
    maps = visualize.activations(model, image, "1")
    one = np.zeros_like(maps)
    one[1].flat[maps[1].argmax()] = 1
    expected = zh.conv_transpose2d(one[None], model[0].weight.data)[0]
    found = visualize.input_gradient(model, image, rule="deconvnet", layer="1", channel=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_activation_maximization_beats_the_best_of_1000_real_images():
    lenet = zh.weights.load("lenet5_digits")
    digits = zh.datasets.load("digits", "all", size=28).images[:1000]
    best = visualize.maximal_images(lenet, digits, "fc3", 4, count=1).values[0]
    made = visualize.maximize_activation(lenet, None, 4, shape=(1, 28, 28), steps=100, progress=False)
    assert made.history[-1] > best and made.image.min() >= 0 and made.image.max() <= 1


class Sum(nn.Module):
    """One score: the sum of the four pixels in the middle."""

    def forward(self, x):
        return (x[:, :, 3:5, 3:5]).reshape((len(x), 4)).sum(axis=1, keepdims=True)


def test_jitter_keeps_adams_averages_at_the_images_own_pixels():
    start = np.full((1, 8, 8), 0.5, np.float32)
    made = visualize.maximize_activation(Sum(), None, 0, start=start, jitter=2, steps=1, lr=0.1, progress=False)
    moved = np.argwhere(made.image[0] != 0.5)
    by = np.random.default_rng([0, 1]).integers(-2, 3, 2)
    np.testing.assert_array_equal(moved, [(r - by[0], c - by[1]) for r in (3, 4) for c in (3, 4)])

    steps, rng = 12, np.random.default_rng([0, 1])
    pixels, m, v = start[0].astype(float), np.zeros((8, 8)), np.zeros((8, 8))
    for t in range(1, steps + 1):
        by, gradient = rng.integers(-2, 3, 2), np.zeros((8, 8))
        for r in (3, 4):
            for c in (3, 4):
                gradient[r - by[0], c - by[1]] = -1
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        pixels = (pixels - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)).clip(0, 1)
    made = visualize.maximize_activation(Sum(), None, 0, start=start, jitter=2, steps=steps, lr=0.01, progress=False)
    np.testing.assert_allclose(made.image[0], pixels, atol=1e-5)


def test_an_inverted_image_has_the_features_of_an_early_layer():
    lenet = zh.weights.load("lenet5_digits")
    digit = zh.datasets.load("digits", "test", size=28).images[0]
    found = visualize.invert_features(lenet, digit, "relu", steps=200, progress=False)
    wanted, features = (visualize.activations(lenet, x, "relu") for x in (digit, found.image))
    assert np.linalg.norm(features - wanted) < 0.1 * np.linalg.norm(wanted)


def test_a_dead_channel_is_found_over_many_images():
    zh.seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    model[0].bias.data[:] = [1, 1, -100, 1]
    images = np.random.default_rng(0).random((20, 1, 6, 6)).astype(np.float32)
    assert visualize.dead_channels(model, images, "1").dead == [2]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m: visualize.grad_cam(m, IMAGE, "no"), "layer needs one of"),
        (lambda m: visualize.grad_cam(m, IMAGE, "linear"), "needs rows and columns"),
        (lambda m: visualize.saliency(m, IMAGE, 10), "target needs to lie below 10"),
        (lambda m: visualize.occlusion(m, IMAGE, size=40), "size 40 needs to fit"),
        (lambda m: visualize.occlusion(m, IMAGE, of="softmax"), "of needs one of"),
        (lambda m: visualize.maximize_activation(m, "layer1", 99, shape=(3, 8, 8)), "unit needs numbers below"),
        (lambda m: visualize.maximize_activation(m, "layer1", 0), "shape needs"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(resnet, call, words):
    with pytest.raises(ValueError, match=words):
        call(resnet)
