"""The case study's networks: their parameter counts, every gradient against a PyTorch twin, sizes, memory, time."""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import torch_twins as twins

import zerohero as zh
from zerohero import models, nn
from zerohero.tensor import Parameter, Tensor

torch.set_num_threads(1)

# from the papers, torchvision's documentation, and (CIFAR ResNets) github.com/akamaster/pytorch_resnet_cifar10
COUNTS = {
    "lenet5": 61_706,
    "alexnet": 60_965_224,
    "alexnet_torchvision": 61_100_840,
    "vgg11": 132_863_336,
    "vgg11_lrn": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16_c": 133_638_952,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "googlenet": 6_998_552,
    "googlenet_bn": 6_624_904,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "densenet121": 7_978_856,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "densenet264": 33_337_704,
    "squeezenet1_1": 1_235_496,
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_network_has_exactly_its_parameters(name):
    assert models.create(name).num_parameters() == COUNTS[name]


@pytest.mark.parametrize(
    "name,options,count",
    [
        ("alexnet", dict(groups=1), 62_378_344),
        ("googlenet", dict(auxiliary=True), 13_378_280),
        ("googlenet_bn", dict(auxiliary=True), 13_004_888),
        ("resnet20", dict(residual=False), 269_722),
        ("resnet56", dict(residual=False), 853_018),
        ("vgg16", dict(num_classes=10, image_size=32), 14_714_688 + 513 * 4096 + 4097 * 4096 + 4097 * 10),
    ],
)
def test_options_change_the_count_as_they_should(name, options, count):
    assert models.create(name, **options).num_parameters() == count


# ---- against PyTorch ------------------------------------------------------------------------------------

# name, our options, the twin, image size, batch
NARROW = dict(channels=(8, 12, 16, 10, 6), hidden=20, num_classes=7)
SMALL_VGG = dict(image_size=32, width=8, hidden=24, num_classes=7)


def cases():
    def vgg(name):
        return lambda: twins.VGGTwin(name, 7, width=8, hidden=24, grid=1)

    yield "alexnet", NARROW | dict(image_size=67), lambda: twins.alexnet(7, 1, NARROW["channels"], 20), 67, 2
    yield "alexnet", NARROW | dict(image_size=99), lambda: twins.alexnet(7, 2, NARROW["channels"], 20), 99, 2
    yield (
        "alexnet",
        NARROW | dict(image_size=67, groups=1),
        lambda: twins.alexnet(7, 1, NARROW["channels"], 20, 1),
        67,
        2,
    )
    yield "alexnet_torchvision", NARROW, lambda: twins.AlexNetTorchvision(7, NARROW["channels"], 20), 63, 2
    for name in twins.VGG:
        yield name, SMALL_VGG, vgg(name), 32, 3
    two = dict(image_size=64, width=8, hidden=24, num_classes=7)
    yield "vgg16", two, lambda: twins.VGGTwin("vgg16", 7, width=8, hidden=24, grid=2), 96, 1
    yield "googlenet", dict(num_classes=7), lambda: twins.GoogLeNetTwin(7, False, False), 47, 2
    yield "googlenet_bn", dict(num_classes=7), lambda: twins.GoogLeNetTwin(7, True, False), 31, 3
    for depth in twins.RESNET:
        yield f"resnet{depth}", dict(width=4, num_classes=7), (lambda d=depth: twins.ResNetTwin(d, 7, 4)), 33, 4
    for depth in (20, 32, 44, 56):
        yield f"resnet{depth}", dict(width=4), (lambda d=depth: twins.ResNetCIFARTwin(d, 10, 4)), 16, 4
    yield "resnet20", dict(width=4, residual=False), lambda: twins.ResNetCIFARTwin(20, 10, 4, shortcut="none"), 16, 4
    yield "resnet20", {}, lambda: twins.ResNetCIFARTwin(20), 32, 2
    for depth in twins.DENSENET:
        yield f"densenet{depth}", dict(growth=4, num_classes=7), (lambda d=depth: twins.DenseNetTwin(d, 7, 4)), 29, 4
    yield "squeezenet1_1", dict(num_classes=7), lambda: twins.SqueezeNetTwin(7), 25, 2


CASES = list(cases())
IDS = [f"{name}-{side}-{i}" for i, (name, _, _, side, _) in enumerate(CASES)]


def pair(name, options, twin):
    """Our model and its twin with the same weights, in float64.

    Batch normalization scales by about a half, so that 152 layers of an untrained network keep activations of
    ordinary size in evaluation, where no statistics of the batch tame them.
    """
    zh.seed(1)
    ours, theirs, rng = models.create(name, **options), twin().double(), np.random.default_rng(2)
    for key, buffer in ours.named_buffers():
        buffer[...] = rng.uniform(0.5, 2, buffer.shape) if key.endswith("var") else rng.normal(0, 0.3, buffer.shape)
    for key, parameter in ours.named_parameters():
        parameter.data = parameter.data.astype(np.float64)
        if parameter.ndim == 1:  # biases and batch normalization start from 0 and 1, which would hide a swap
            parameter.data += rng.normal(0, 0.1, parameter.shape) - (0.5 if key.endswith("weight") else 0)
    state = {key: torch.tensor(np.array(value)) for key, value in ours.state_dict().items()}
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing)
    return ours, theirs


def without_dropout(model):
    for _, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def gradients_agree(ours, theirs, **others):
    """Every parameter's gradient, and others, within 1e-8 of PyTorch's relative to its norm; the largest found."""
    wanted = {name: parameter.grad.numpy() for name, parameter in theirs.named_parameters()}
    found = {name: parameter.grad for name, parameter in ours.named_parameters()}
    for name, (ours_found, theirs_found) in others.items():
        found[name], wanted[name] = ours_found, theirs_found
    assert found.keys() == wanted.keys()
    whole = np.sqrt(sum((g**2).sum() for g in wanted.values()))
    largest = 0.0
    for name in wanted:
        norm = np.linalg.norm(wanted[name])
        if norm < 1e-12 * whole:  # a bias before batch normalization, say: its gradient is rounding and nothing else
            norm = whole
        difference = np.linalg.norm(found[name] - wanted[name]) / norm
        assert difference <= 1e-8, f"{name}: {difference:.1e}"
        largest = max(largest, difference)
    return largest


@pytest.mark.parametrize("name,options,twin,side,batch", CASES, ids=IDS)
def test_logits_and_every_gradient_are_pytorchs(name, options, twin, side, batch):
    rng = np.random.default_rng(0)
    ours, theirs = pair(name, options, twin)
    without_dropout(ours)
    images, labels = rng.standard_normal((batch, 3, side, side)), rng.integers(0, 7, batch)
    before = {key: buffer.copy() for key, buffer in ours.named_buffers()}

    x, t = Parameter(images), torch.tensor(images, requires_grad=True)
    logits, expected = ours(x), theirs(t)
    assert np.abs(logits.data - expected.detach().numpy()).max() <= 1e-9 * np.abs(expected.detach().numpy()).max()
    zh.cross_entropy(logits, labels).backward()
    torch.nn.functional.cross_entropy(expected, torch.tensor(labels)).backward()
    largest = gradients_agree(ours, theirs, images=(x.grad, t.grad.numpy()))

    running = dict(ours.named_buffers())
    for key, value in theirs.state_dict().items():
        if "running" in key:
            np.testing.assert_allclose(running[key], value.numpy(), rtol=1e-5, atol=1e-6, err_msg=key)

    for key, buffer in ours.named_buffers():  # 0.9 · before + 0.1 · batch: normalize in evaluation by the batch
        buffer[...] = 10 * buffer - 9 * before[key]
        if key.endswith("var"):  # a channel that hardly varies in so few images would enlarge rounding, not signal
            buffer += buffer.mean() / 2
    theirs.load_state_dict({key: torch.tensor(buffer) for key, buffer in ours.named_buffers()}, strict=False)
    ours.eval(), theirs.eval()
    with torch.no_grad():
        expected = theirs.float()(t.float()).numpy()
    for parameter in ours.parameters():
        parameter.data = parameter.data.astype(np.float32)
    difference = np.abs(ours.scores(images.astype(np.float32)) - expected).max()
    spread = np.ptp(expected, axis=0).max()  # from image to image
    print(f"{name} {side}×{side}: gradients {largest:.1e}, float32 logits {difference:.1e} of {spread:.1e}")
    assert difference <= 1e-4 and (batch == 1 or difference <= 0.01 * spread)


@pytest.mark.parametrize("bn", [True, False])
def test_auxiliary_classifiers_are_pytorchs_and_count_three_tenths(bn):
    rng = np.random.default_rng(0)
    name, side = ("googlenet_bn", 33) if bn else ("googlenet", 223)
    options = dict(num_classes=7, auxiliary=True)
    ours, theirs = pair(name, options, lambda: twins.GoogLeNetTwin(7, bn, True))
    without_dropout(ours)
    images, labels = rng.standard_normal((2 if bn else 1, 3, side, side)), rng.integers(0, 7, 2 if bn else 1)
    loss, scores = ours.training_step(images, labels)
    loss.backward()
    entropy = torch.nn.functional.cross_entropy
    main, first, second = theirs(torch.tensor(images))
    total = sum(w * entropy(s, torch.tensor(labels)) for w, s in ((1, main), (0.3, first), (0.3, second)))
    total.backward()
    assert loss.item() == pytest.approx(total.item(), rel=1e-10)
    gradients_agree(ours, theirs)  # the images are no leaf in a training step
    ours.eval()
    loss, scores = ours.training_step(images, labels)
    assert loss.item() == pytest.approx(zh.cross_entropy(scores, labels), rel=1e-12)


def test_auxiliary_classifiers_of_the_paper_need_maps_that_pool_to_4_by_4():
    model = models.create("googlenet", num_classes=3, auxiliary=True)
    model.eval()
    assert model(np.zeros((1, 3, 64, 64), np.float32)).shape == (1, 3)
    with pytest.raises(ValueError, match="223 to 270 pixels"):
        model.all_scores(np.zeros((1, 3, 222, 222), np.float32))


# ---- sizes ----------------------------------------------------------------------------------------------

SMALLEST = {
    "alexnet_torchvision": (dict(channels=(2, 2, 2, 2, 2), hidden=4), 63),
    "vgg11": (dict(width=2, hidden=4), 32),
    "googlenet": ({}, 47),
    "googlenet_bn": ({}, 31),
    "resnet18": (dict(width=2), 1),
    "resnet50": (dict(width=2), 1),
    "resnet20": (dict(width=2), 1),
    "densenet121": (dict(growth=2), 29),
    "squeezenet1_1": ({}, 25),
}


@pytest.mark.parametrize("name", SMALLEST)
def test_any_size_from_the_smallest_on_any_channels_and_any_classes_fit(name):
    options, least = SMALLEST[name]
    model = models.create(name, num_classes=5, in_channels=2, **options)
    for height, width in ((least, least), (least + 7, least)):
        assert model.scores(np.zeros((1, 2, height, width), np.float32)).shape == (1, 5)
    if least > 1:
        with pytest.raises(ValueError, match=rf"at least {least}×{least} pixels, but has shape \(1, 2, {least - 1}"):
            model.scores(np.zeros((1, 2, least - 1, least), np.float32))


@pytest.mark.parametrize(
    "make,error,words",
    [
        (lambda: models.create("alexnet", image_size=66), ValueError, "image_size needs to be at least 67"),
        (
            lambda: models.create("alexnet", channels=(9, 8, 8, 8, 8)),
            ValueError,
            "groups needs to divide in_channels 9",
        ),
        (lambda: models.create("alexnet", channels=(8, 8)), ValueError, "channels needs 5 integers"),
        (lambda: models.create("vgg16", width=0), ValueError, "vgg: width needs to be at least 1"),
        (lambda: models.create("googlenet", auxiliary="yes"), TypeError, "auxiliary needs True or False"),
        (lambda: models.create("resnet50", shortcut="B"), ValueError, "'projection', 'pad', 'none', but got 'B'"),
        (lambda: models.create("resnet20", residual=1), TypeError, "residual needs True or False"),
        (lambda: models.create("densenet121", growth=0), ValueError, "growth needs to be at least 1"),
        (lambda: models.create("resnet21"), ValueError, "but got 'resnet21'"),
        (lambda: models.create(["resnet20"]), ValueError, r"name needs one of .*'resnet20'.*but got \['resnet20'\]"),
        (lambda: nn.Inception(8, "8", 4, 8, 4, 8, 4), TypeError, "Inception: ones needs an integer"),
        (lambda: nn.Inception(8, 8, 4, 8, 4, 8, 4, kernel5=4), ValueError, "kernel5 needs to be odd.*but got 4"),
        (lambda: nn.DenseLayer(4, "4"), TypeError, "DenseLayer: growth needs an integer"),
        (lambda: nn.AuxiliaryClassifier(8, 3)(np.zeros((8, 14, 14))), ValueError, r"images \(N, C, H, W\)"),
        (lambda: nn.residual.pad_shortcut(np.zeros((1, 2, 3, 3)), 1, 2), ValueError, "channels needs to be at least 2"),
        (lambda: nn.residual.pad_shortcut(np.zeros((1, 2, 3, 3)), 4, 0), ValueError, "stride needs to be at least 1"),
        (lambda: nn.Conv2d(3, 4, 3, bias="False"), TypeError, "Conv2d: bias needs True or False"),
        (lambda: nn.Linear(3, 4, bias=1), TypeError, "Linear: bias needs True or False"),
        (lambda: nn.inception.ConvReLU(3, 4, 1, batch_norm="no"), TypeError, "batch_norm needs True or False"),
        (lambda: models.create("resnet18", depth=34), TypeError, "has no option 'depth'"),
        (lambda: nn.BasicBlock(8, 4, shortcut="pad"), ValueError, "in_channels 8 is more than the 4 that go out"),
        (lambda: models.create("resnet20").scores(np.zeros((1, 1, 8, 8))), ValueError, "3 input channels.*x has 1"),
    ],
)
def test_a_wrong_size_or_option_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_alexnet_takes_the_sizes_that_leave_its_grid_and_says_which_it_is_made_for():
    model = models.create("alexnet", channels=(2, 2, 2, 2, 2), hidden=4)
    for side in (227, 230):
        assert model.scores(np.zeros((1, 3, side, side), np.float32)).shape == (1, 1000)
    with pytest.raises(ValueError, match=r"227×227 pixels, of which pool5 leaves the 6×6 .*\(1, 3, 224, 224\)"):
        model.scores(np.zeros((1, 3, 224, 224), np.float32))


def test_the_plain_network_differs_from_the_residual_one_by_nothing_but_the_shortcuts(rng):
    images = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    zh.seed(3)
    residual = models.create("resnet20", width=4)
    zh.seed(3)
    plain = models.create("resnet20", width=4, residual=False)
    for (name, a), (other, b) in zip(residual.named_parameters(), plain.named_parameters()):
        assert name == other
        np.testing.assert_array_equal(a.data, b.data)
    assert np.abs(residual.scores(images) - plain.scores(images)).max() > 1e-3


def test_a_residual_block_whose_last_scale_is_0_passes_on_what_is_positive(rng):
    block = nn.BasicBlock(4, 4).eval()
    block.bn2.weight.data[...] = 0
    x = rng.standard_normal((1, 4, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(block(x).data, np.maximum(x, 0))


# ---- starting, memory, time -----------------------------------------------------------------------------


def test_initial_weights_are_those_of_earlier_versions():
    for shape, seed in (((30, 20), 0), ((8, 3, 5, 5), 1)):
        bound = 0.123
        drawn = (2 * bound) * np.random.default_rng(seed).random(shape, dtype=np.float32) - bound
        found = nn.init.uniform(Parameter(np.empty(shape, np.float32)), bound, rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(found.data, drawn)
        drawn = bound * np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
        found = nn.init.normal(Parameter(np.empty(shape, np.float32)), bound, rng=np.random.default_rng(seed))
        np.testing.assert_array_equal(found.data, drawn)


@pytest.mark.parametrize("name", ["vgg11", "googlenet", "resnet18", "resnet20", "densenet121", "squeezenet1_1"])
def test_convolutions_start_with_variance_2_over_fan_in_and_no_bias(name):
    zh.seed(0)
    model = models.create(name, **(dict(hidden=8) if name == "vgg11" else {}))
    for _, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):
            fan_in = layer.weight[0].size
            assert layer.weight.data.std() == pytest.approx(np.sqrt(2 / fan_in), rel=5 / np.sqrt(2 * layer.weight.size))
            assert layer.bias is None or (layer.bias.data == 0).all()


def test_images_still_differ_after_the_16_convolutions_of_vgg19(rng):
    zh.seed(0)
    model = models.create("vgg19", image_size=32, width=32, hidden=8)
    maps = model.features(Tensor(rng.standard_normal((8, 3, 32, 32)).astype(np.float32))).data
    assert 0.01 < maps.std(axis=0).mean() < 1  # 0.06; layers that start as PyTorch's do leave 2e-8


def test_building_vgg19_takes_at_most_3_seconds():
    started = time.process_time()  # of this process: other work on the machine doesn't count
    models.create("vgg19")
    assert time.process_time() - started <= 3


RUN = """
import resource, sys, time
import numpy as np
import zerohero as zh
name, side = sys.argv[1], int(sys.argv[2])
model = zh.models.create(name)
image = np.random.default_rng(0).standard_normal((1, 3, side, side)).astype(np.float32)
started = time.perf_counter()
scores = model.scores(image)
assert scores.shape == (1, 1000) and np.isfinite(scores).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, time.perf_counter() - started)
"""
FULL = [
    "alexnet", "alexnet_torchvision", "vgg11", "vgg11_lrn", "vgg13", "vgg16_c", "vgg16", "vgg19", "googlenet",
    "googlenet_bn", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "densenet121", "densenet169",
    "densenet201", "densenet264", "squeezenet1_1",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_a_full_size_network_runs_within_4_gigabytes(name):
    pytest.importorskip("resource")
    side = "227" if name == "alexnet" else "224"
    done = subprocess.run([sys.executable, "-c", RUN, name, side], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    gigabytes, seconds = map(float, done.stdout.split())
    print(f"{name}: {gigabytes:.2f} GB at the peak, {seconds:.2f} s for one image")
    assert gigabytes <= 4
