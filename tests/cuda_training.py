"""What must hold on a GPU from end to end, on CuPy or its double: operations, steps without hidden copies, training.

`python -m tests.cuda_training` runs all of it with the double of tests/cupy_double.py and numba's simulator, and prints
a line of JSON for each check.
"""

import itertools
import math
import tempfile
from pathlib import Path

import numpy as np

import zerohero as zh
from tests.cuda_kernels import normal, report
from zerohero import nn, optim, training
from zerohero.ops.em_windows import em_routing_windows
from zerohero.tensor import move

CHECKS = {}


def check(*cases):
    """Decorator: a check for each case, as in tests/cuda_kernels.py, on one device: `gpu`."""

    def decorator(function):
        for case in cases or ({},):
            shown = ", ".join(f"{k}={v}" for k, v in case.items())
            CHECKS[f"{function.__name__}({shown})"] = lambda gpu, case=case: function(gpu, **case)
        return function

    return decorator


class Double:
    """CuPy's double, counting."""

    def __init__(self):
        from tests import cupy_double
        from zerohero.kernels.cuda import launching

        self.cupy, self.is_double = cupy_double.install(), True
        self.no_copies, self.copies, self.launches = cupy_double.no_copies, cupy_double.copies, []
        launching.THREADS = 32  # the simulator starts each of them
        start = launching.launch
        for name in ("capsule", "convolution"):
            module = __import__(f"zerohero.kernels.cuda.{name}", fromlist=["launch"])
            module.launch = lambda kernel, *rest: self.launches.append(kernel) or start(kernel, *rest)


# ---- operations -----------------------------------------------------------------------------------------


def positive(*shape):
    return np.abs(normal(*shape)) + 0.5


def add_both(poses_and_activations):
    poses, activations = poses_and_activations
    return (poses * poses).sum() + activations.sum()


LABELS = np.array([2, 0, 1])
WINDOWS = np.array([[0, 1, 2], [2, 3, 4]])  # child 2 has parents at both places
# name: (operation on Tensors, arrays)
OPERATIONS = {
    "numbers beside": (lambda a: 2 * (1 - a) / 3 + np.float32(2) * a - -a, normal(2, 3)),
    "broadcast": (lambda a, b: a * b + a / b - b, normal(2, 3, 4), positive(3, 1)),
    "power, exp, log, abs": (lambda a: abs(a**3) + (a * a + 1).log() + (-a).exp(), normal(2, 3)),
    "matmul": (lambda a, b: a @ b, normal(2, 3, 4), normal(4, 5)),
    "reductions": (lambda a: a.sum(0) * a.mean((0, 1), keepdims=True)[0] + a.max(1).sum(), normal(4, 4)),
    "reshape, transpose": (
        lambda a: a.reshape(-1, 2).T @ a.transpose(1, 0).reshape(3, 2),
        normal(2, 3).repeat(2, 1)[:, ::2],
    ),
    "slices": (lambda a: a[1:, ::2] * a[0, 1] + a[..., None, -1][:2].sum(), normal(3, 4)),
    "index that repeats": (lambda a: a[[0, 2, 0], [1, 1, 1]], normal(3, 4)),
    "concat, pad, flatten": (
        lambda a, b: zh.flatten(zh.pad(zh.concat([a, b, a], 1), [(1, 2)], 3.0)),
        normal(2, 3),
        normal(2, 1),
    ),
    "linear": (zh.linear, normal(2, 3, 4), normal(5, 4), normal(5)),
    "activations": (lambda a: zh.relu(a) + zh.leaky_relu(a) + zh.sigmoid(a) + zh.tanh(a), normal(3, 4)),
    "softmax": (lambda a: zh.softmax(a, axis=0) * zh.log_softmax(a), normal(3, 4)),
    "conv2d": (
        lambda *a: zh.conv2d(*a, stride=2, padding=1, groups=2),
        normal(2, 4, 6, 5),
        normal(4, 2, 3, 3),
        normal(4),
    ),
    "conv2d of an image": (lambda x, w: zh.conv2d(x, w, padding="same"), normal(5, 6), normal(3, 2)),
    "conv_transpose2d": (
        lambda *a: zh.conv_transpose2d(*a, stride=2),
        normal(1, 2, 3, 3),
        normal(2, 3, 3, 2),
        normal(3),
    ),
    "max_pool2d": (lambda a: zh.max_pool2d(a, 3, stride=2, padding=1), normal(2, 2, 6, 5)),
    "avg_pool2d": (
        lambda a: zh.avg_pool2d(a, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        normal(1, 2, 6, 5),
    ),
    "adaptive_avg_pool2d": (lambda a: zh.adaptive_avg_pool2d(a, (2, 3)) * zh.global_avg_pool2d(a), normal(1, 2, 5, 7)),
    "batch_norm": (lambda *a: zh.batch_norm(*a, training=True), normal(3, 2, 4, 4), normal(2), normal(2)),
    "local_response_norm": (lambda a: zh.local_response_norm(a, 3, alpha=0.5), normal(2, 5, 3, 3)),
    "cross_entropy": (lambda a: zh.cross_entropy(a, LABELS, label_smoothing=0.1), normal(3, 4)),
    "mse_loss": (lambda a, b: zh.mse_loss(a, b), normal(3, 4), normal(3, 4, seed=1)),
    "squash": (lambda a: zh.squash(a, axis=1), normal(3, 4, 2)),
    "votes and routing": (
        lambda u, w, b: zh.dynamic_routing(zh.capsule_votes(u, w), b),
        normal(2, 3, 2),
        normal(3, 2, 2, 4),
        normal(2, 4),
    ),
    "capsule_layer": (zh.capsule_layer, normal(2, 3, 2), normal(3, 2, 2, 4), normal(2, 4)),
    "capsule_layer by the NumPy form": (zh.capsule_layer, normal(2, 3, 2), normal(3, 2, 1, 65)),
    "em_routing": (
        lambda v, a, *betas: add_both(zh.em_routing(v, zh.sigmoid(a), *betas, inverse_temperature=0.5)),
        normal(2, 5, 3, 4),
        normal(2, 5),
        normal(3),
        normal(3, seed=1),
    ),
    "em_routing_windows": (
        lambda v, a, *betas: add_both(em_routing_windows(v, zh.sigmoid(a), *betas, WINDOWS, inverse_temperature=0.5)),
        normal(2, 2, 3, 3, 4),
        normal(2, 5),
        normal(3),
        normal(3, seed=1),
    ),
    "spread_loss": (lambda a: zh.spread_loss(zh.sigmoid(a), LABELS, 0.9), normal(3, 4)),
    "margin_loss": (lambda v: zh.margin_loss(v, LABELS) + zh.margin_loss(v, np.eye(3)[:, ::-1]), normal(3, 3, 4)),
    "reconstruction_loss": (lambda a: zh.reconstruction_loss(a, a.detach().data * 2), normal(3, 4)),
    "mask_capsules": (lambda v: nn.mask_capsules(v, LABELS) + nn.mask_capsules(v), normal(3, 3, 4)),
}


@check(*[dict(name=name) for name in OPERATIONS])
def an_operation_gives_what_it_gives_on_the_cpu(gpu, name):
    function, *arrays = OPERATIONS[name]
    results = []
    for device in ("numpy", "cupy"):
        tensors = [zh.Tensor(move(array, device), requires_grad=True) for array in arrays]
        y = function(*tensors)
        weights = move(normal(*y.shape, seed=3).reshape(y.shape), device)
        (y * zh.Tensor(weights)).sum().backward()
        assert type(y.data).__module__.split(".")[0] == device
        results.append([move(each, "numpy") for each in (y.data, *(t.grad for t in tensors))])
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(theirs, ours, rtol=1e-10, atol=1e-12)


@check()
def arrays_on_two_devices_are_refused(gpu):
    image, kernel = np.ones((1, 1, 4, 4)), move(np.ones((1, 1, 2, 2)), "cupy")
    for call in (lambda: zh.conv2d(image, kernel), lambda: zh.Tensor(kernel) * zh.Tensor(image[..., :2, :2])):
        try:
            call()
        except TypeError as error:
            assert "two devices" in str(error), error
        else:
            raise AssertionError("nothing was said")


@check()
def dropout_draws_on_the_gpu_what_a_seed_decides(gpu):
    x = zh.Tensor(move(np.ones((100, 100), np.float32), "cupy"), requires_grad=True)
    runs = []
    for seed in (0, 0, 1):
        zh.seed(seed)
        with gpu.no_copies():
            y = [zh.dropout(x, 0.25), zh.dropout(x, 0.25)]
        runs.append([move(each.data, "numpy") for each in y])
    (first, then), (again, _), (other, _) = runs
    np.testing.assert_array_equal(first, again)
    assert (first != then).mean() > 0.3 and (first != other).mean() > 0.3
    assert set(np.unique(first)) == {0, np.float32(1 / 0.75)} and abs((first == 0).mean() - 0.25) < 0.02


# ---- a training step ------------------------------------------------------------------------------------


def everything_else():
    """What LeNet and CapsNet don't have."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.LocalResponseNorm(3),
        nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True), nn.ConvTranspose2d(4, 2, 2, stride=2),
        nn.AdaptiveAvgPool2d(3), nn.Dropout(0.0), nn.Flatten(), nn.Linear(18, 3), nn.Sigmoid(),
    )  # fmt: skip


def small_capsnet(**options):
    return zh.models.create("capsnet", image_size=17, channels=3, types=2, dim=4, out_dim=4, hidden=(8, 8),
                            num_classes=3, **options)  # fmt: skip


# name: (model, height and width of its images)
MODELS = {
    "LeNet": (lambda: zh.models.create("lenet5", image_size=12, num_classes=3), 12),
    "LeNet of 1998": (lambda: zh.models.create("lenet5", image_size=12, num_classes=3, variant="1998"), 12),
    "CapsNet": (small_capsnet, 17),
    "CapsNet of its authors": (lambda: small_capsnet(preset="authors", stop_gradient=True), 17),
    "everything else": (everything_else, 8),
    "dense": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(144, 8), nn.Tanh(), nn.Linear(8, 3)), 12),
}
OPTIMIZERS = {
    "Adam": lambda parameters: optim.Adam(parameters, lr=1e-2, weight_decay=1e-3),
    "AdamW": lambda parameters: optim.Adam(parameters, lr=1e-2, weight_decay=1e-3, decoupled=True),
    "SGD": lambda parameters: optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True),
}


def examples(side, count=6, classes=3):
    rng = np.random.default_rng(side)
    return rng.random((count, 1, side, side), dtype=np.float32), np.arange(count) % classes


def new(name, device):
    zh.seed(0)
    return MODELS[name][0]().to(device)


@check(*[dict(model=m, optimizer=o) for m, o in zip(MODELS, itertools.cycle(OPTIMIZERS))])
def a_step_stays_on_the_gpu_and_ends_as_on_the_cpu(gpu, model, optimizer):
    images, labels = examples(MODELS[model][1], 3)
    ends = []
    for device in ("numpy", "cupy"):
        network = new(model, device)
        rule = OPTIMIZERS[optimizer](network.parameters())
        step, x, y = training._step_of(network), move(images, device), move(labels, device)
        with gpu.no_copies():
            for _ in range(2):
                rule.zero_grad()
                loss, scores = step(network, x, y)
                loss.backward()
                rule.step()
        arrays = network.state_dict() | {"loss": loss.data, "scores": scores}
        assert all(type(a).__module__.split(".")[0] == device or not a.ndim for a in arrays.values())
        ends.append({name: move(array, "numpy") for name, array in arrays.items()})
    for name, wanted in ends[0].items():
        np.testing.assert_allclose(ends[1][name], wanted, rtol=1e-3, atol=1e-5, err_msg=name)


@check()
def the_kernels_are_what_runs(gpu):
    if not gpu.is_double:
        return  # a GPU says so by its speed
    gpu.launches.clear()
    network = new("CapsNet", "cupy")
    images, labels = (move(each, "cupy") for each in examples(17, 2))
    network.training_step(images, labels)[0].backward()
    names = {kernel.__name__ for kernel in gpu.launches}
    assert {"sums", "pull", "gradients"} <= names, names


# ---- fit ------------------------------------------------------------------------------------------------


def fitted(device, *, epochs=2, count=14, model="dense", **settings):
    network = new(model, device)
    data = examples(MODELS[model][1], count)
    rule = OPTIMIZERS["Adam"](network.parameters())
    history = training.fit(network, data, epochs=epochs, batch_size=4, optimizer=rule, progress=False, **settings)
    return history, {name: move(array, "numpy") for name, array in network.state_dict().items()}


def with_looks_every(steps):
    """Decorator: look so often during the check."""

    def decorator(function):
        def run(gpu):
            whole, training.LOOK_EVERY = training.LOOK_EVERY, steps
            try:
                function(gpu)
            finally:
                training.LOOK_EVERY = whole

        run.__name__ = function.__name__
        return run

    return decorator


@check()
@with_looks_every(3)  # of the 4 steps of an epoch
def training_ends_as_on_the_cpu(gpu):
    settings = dict(validation=examples(12, 5), patience=2, schedule="one-cycle")
    (history, weights), (wanted, wanted_weights) = fitted("cupy", **settings), fitted("numpy", **settings)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "lr"):
        np.testing.assert_allclose(history.column(name), wanted.column(name), rtol=1e-4)
    for name, array in wanted_weights.items():
        np.testing.assert_allclose(weights[name], array, rtol=1e-3, atol=1e-5, err_msg=name)


@check()
@with_looks_every(3)
def training_copies_only_to_look_and_to_shuffle(gpu):
    if not gpu.is_double:
        return  # only the double counts
    network = new("dense", "cupy")
    gpu.copies.clear()
    augment = training.Augmentation(shift=1, flip=True)
    training.fit(network, examples(12, 14), epochs=2, batch_size=4, augment=augment, progress=False)
    looks = 2 * math.ceil(4 / 3)
    assert sum("to the CPU" in each for each in gpu.copies) == looks, gpu.copies
    # images and labels once, and the order of each epoch
    assert sum("to the GPU" in each for each in gpu.copies) == 2 + 2, gpu.copies


@check()
@with_looks_every(3)
def training_resumes_bit_for_bit_with_augmentation_and_dropout(gpu):
    MODELS["dropping"] = lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 3)), 12
    settings = dict(model="dropping", augment=training.Augmentation(shift=1, flip=True, crop=12))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        whole, weights = fitted("cupy", epochs=3, **settings)
        fitted("cupy", epochs=1, checkpoint=path, **settings)
        resumed, same = fitted("cupy", epochs=3, checkpoint=path, **settings)
    assert resumed.column("loss") == whole.column("loss")
    for name, array in weights.items():
        np.testing.assert_array_equal(same[name], array)


def repeating(network, rule, made):
    """What stands for `graphs.Recording` on the double: it repeats the work, into the arrays that the first time made.

    While recording, nothing may be computed: weights and the optimizer's arrays are put back.
    """
    parameters = network.parameters()

    class Repeating:
        def __init__(self, work):
            made.append(0)
            self.work, self.number = work, len(made) - 1
            arrays = [p.data for p in parameters] + [state[slot] for state in rule.state for slot in rule.slots]
            before = [array.copy() for array in arrays]
            self.result = work()
            self.gradients = [parameter.grad for parameter in parameters]
            for array, values in zip(arrays, before):
                array[...] = values

        def launch(self):
            made[self.number] += 1
            held = [parameter.grad for parameter in parameters]
            for old, new in zip(self.result, self.work()):
                old[...] = new
            for parameter, gradient, there in zip(parameters, self.gradients, held):
                gradient[...] = parameter.grad
                parameter.grad = there  # which array that is, a launch doesn't know

    return Repeating


@check(*[dict(optimizer=name) for name in OPTIMIZERS])
def repeated_steps_end_as_steps_asked_for_one_by_one(gpu, optimizer):
    """Two kinds of batches, a learning rate that changes in every step, weights put back in between."""
    from zerohero.kernels.cuda import graphs

    ends, real, can = [], graphs.Recording, graphs.can_record
    for alike in (False, True):
        network, made = new("dense", "cupy"), []
        network.steps_alike = alike
        rule = OPTIMIZERS[optimizer](network.parameters())
        if gpu.is_double:
            graphs.Recording, graphs.can_record = repeating(network, rule, made), lambda: True
        try:
            history = training.fit(network, examples(12, 14), epochs=4, batch_size=4, optimizer=rule, seed=0,
                                   schedule="one-cycle", progress=False)  # fmt: skip
        finally:
            graphs.Recording, graphs.can_record = real, can
        # of 12 full batches and 4 smaller ones the third of each kind is recorded, and repeated from then on
        assert not gpu.is_double or sorted(made) == ([2, 10] if alike else []), made
        arrays = [*network.state_dict().values(), *(parameter.grad for parameter in network.parameters())]
        ends.append((history.column("loss"), [move(array, "numpy") for array in arrays], rule))
    (losses, weights, asked), (again, same, repeated) = ends
    assert losses == again and asked.counted() == repeated.counted()
    for one, other in zip(weights, same):
        np.testing.assert_array_equal(one, other)


@check()
def a_step_that_draws_or_cannot_be_recorded_is_asked_for_kernel_by_kernel(gpu):
    from zerohero.kernels.cuda import graphs
    from zerohero.stepping import Stepper

    def refused(work):
        raise RuntimeError("this can't be recorded")

    MODELS["drawing"] = lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 3)), 12
    real, can = graphs.Recording, graphs.can_record
    for model, kind in (("drawing", "draws"), ("dense", "refused")):
        network, made = new(model, "cupy"), []
        network.steps_alike = True
        rule = OPTIMIZERS["Adam"](network.parameters())
        take = Stepper(network, rule, training.classification_step)
        images, labels = (move(each, "cupy") for each in examples(12, 6))
        if gpu.is_double or kind == "refused":
            graphs.can_record = lambda: True
            graphs.Recording = refused if kind == "refused" else repeating(network, rule, made)
        try:
            for _ in range(5):
                take(images, labels)
        finally:
            graphs.Recording, graphs.can_record = real, can
        assert list(take.recorded.values()) == [None] and rule.steps == 5, (take.recorded, rule.steps)


class Breaking(nn.Module):
    """Overflows at the third step: each doubles the exponent of its scale."""

    def __init__(self):
        self.layer, self.last = nn.Linear(144, 3), nn.Linear(3, 3)
        self.register_buffer("scale", np.ones(1, np.float32))

    def forward(self, x):
        if self.training:
            self.scale *= np.float32(1e18)
        return self.last(zh.relu(self.layer(zh.flatten(x))) * zh.Tensor(self.scale))


@check()
@with_looks_every(4)
def a_step_that_overflows_is_found_again_and_the_model_is_as_it_was_before(gpu):
    said = []
    MODELS["breaking"] = Breaking, 12
    for device in ("numpy", "cupy"):
        network = new("breaking", device)
        rule = optim.SGD(network.parameters(), lr=1e-30)
        try:
            training.fit(network, examples(12, 14), epochs=1, batch_size=4, optimizer=rule, progress=False)
        except FloatingPointError as error:
            said.append((str(error), rule.steps, [move(array, "numpy") for array in network.state_dict().values()]))
    assert len(said) == 2, "nothing was said"
    (wanted, steps, before), (got, found, now) = said
    assert got == wanted and steps == found, (got, wanted)
    assert "at step 3" in got, got
    for ours, theirs in zip(now, before):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@check()
def augmentation_moves_images_as_on_the_cpu(gpu):
    images = np.random.default_rng(0).random((60, 1, 5, 5), dtype=np.float32)
    there, augment = move(images, "cupy"), training.Augmentation(shift=1)
    with gpu.no_copies():
        moved = augment(there, np.random.default_rng(0))
    moved = move(moved, "numpy")
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    offsets = set()
    for image, result in zip(padded, moved):
        found = [(i, j) for i in range(3) for j in range(3) if np.array_equal(image[:, i : i + 5, j : j + 5], result)]
        assert len(found) == 1, found
        offsets.update(found)
    assert len(offsets) == 9, offsets


# ---- weights --------------------------------------------------------------------------------------------


@check()
def weights_travel_between_cpu_gpu_and_files(gpu):
    there, here = new("everything else", "cupy"), new("everything else", "numpy")
    for parameter in there.parameters():
        parameter.data += 1
    here.load_state_dict(there.state_dict())
    with tempfile.TemporaryDirectory() as folder:
        zh.save_weights(there, Path(folder) / "w.safetensors")
        again = new("everything else", "cupy")
        zh.load_weights(again, Path(folder) / "w.safetensors")
    back = there.to("numpy")
    for name, array in back.state_dict().items():
        np.testing.assert_array_equal(here.state_dict()[name], array)
        np.testing.assert_array_equal(move(again.state_dict()[name], "numpy"), array)


@check(dict(model="LeNet"), dict(model="CapsNet"))
def predictions_and_evaluation_take_images_from_the_cpu(gpu, model):
    images, labels = examples(MODELS[model][1], 5)
    here, there = new(model, "numpy"), new(model, "cupy")
    np.testing.assert_allclose(there.scores(images, batch_size=2), here.scores(images), rtol=1e-4)
    assert isinstance(there.predict(images[0]), int)
    ours, theirs = (training.evaluate(network, (images, labels), batch_size=2) for network in (there, here))
    assert math.isclose(ours.loss, theirs.loss, rel_tol=1e-4) and ours.accuracy == theirs.accuracy
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4)


if __name__ == "__main__":
    report(CHECKS, Double())
