"""On a real GPU: the assertions of the simulator, sizes that it can't do, and whether the GPU is worth its price."""

import contextlib
import time

import numpy as np
import pytest

import zerohero as zh
from tests import cuda_kernels, cuda_training
from zerohero import training
from zerohero.tensor import move

pytestmark = pytest.mark.gpu


class Device:
    """A GPU as the checks of tests/cuda_training.py want it."""

    is_double = False

    def __init__(self):
        import cupy

        self.cupy = cupy

    def no_copies(self):
        """Inside the `with` block a wait for the GPU raises."""
        import cupyx

        return cupyx.allow_synchronize(False) if hasattr(cupyx, "allow_synchronize") else contextlib.nullcontext()


@pytest.fixture(scope="module")
def gpu():
    return Device()


@pytest.mark.parametrize("name", cuda_kernels.CHECKS)
def test_a_kernel_gives_what_the_numpy_form_gives(gpu, name):
    import zerohero.kernels.cuda  # noqa: F401

    cuda_kernels.CHECKS[name](gpu.cupy)


@pytest.mark.parametrize("name", cuda_training.CHECKS)
def test_on_a_gpu_all_is_as_on_the_cpu(gpu, name):
    cuda_training.CHECKS[name](gpu)


# ---- the paper's sizes ----------------------------------------------------------------------------------

PAPER = ((128, 1152, 8), (1152, 8, 10, 16), (10, 16))  # u, weight and bias of DigitCaps


def layer(device, stop_gradient=False, examples=128):
    shapes = ((examples, *PAPER[0][1:]), *PAPER[1:])
    arrays = [cuda_kernels.normal(*shape, dtype=np.float32) * scale for shape, scale in zip(shapes, (0.3, 0.1, 0.1))]
    tensors = [zh.Tensor(move(array, device), requires_grad=True) for array in arrays]
    v = zh.capsule_layer(*tensors, stop_gradient=stop_gradient)
    v.backward(move(cuda_kernels.normal(*v.shape, dtype=np.float32, seed=1), device))
    return [move(array, "numpy") for array in (v.data, *(tensor.grad for tensor in tensors))]


@pytest.mark.parametrize("examples", [1, 33, 128])
@pytest.mark.parametrize("stop_gradient", [False, True])
def test_capsule_layer_at_the_papers_size(gpu, stop_gradient, examples):
    for ours, theirs in zip(layer("cupy", stop_gradient, examples), layer("numpy", stop_gradient, examples)):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4 * np.abs(theirs).max())


def test_the_same_bits_in_every_run(gpu):
    for once, again in zip(layer("cupy"), layer("cupy")):
        np.testing.assert_array_equal(once, again)


def test_capsule_layer_never_stores_the_votes(gpu):
    layer("cupy")  # compiled, and what stays stays
    pool = gpu.cupy.get_default_memory_pool()
    pool.free_all_blocks()
    before = pool.total_bytes()
    layer("cupy")
    inputs = 4 * sum(int(np.prod(shape)) for shape in PAPER)
    outputs = 4 * 2 * 128 * 160
    assert pool.total_bytes() - before < 40e6 + 2 * inputs + outputs  # the inputs and their gradients; votes take 94 MB


def test_a_capsnet_of_the_papers_size_takes_a_step(gpu):
    zh.seed(0)
    model = zh.models.create("capsnet").to("cupy")
    images, labels = (move(each, "cupy") for each in cuda_training.examples(28, 128, 10))
    optimizer = zh.optim.Adam(model.parameters(), lr=1e-4)  # with 1e-3 the first steps go too far on such images
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss, _ = model.training_step(images, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss)
    values = [loss.item() for loss in losses]
    assert np.isfinite(values).all() and values[-1] < values[0]


# ---- steps that are recorded and repeated -----------------------------------------------------------------


def trained(model, *, alike, optimizer=zh.optim.Adam, count=300, epochs=3):
    """Weights and history after epochs of full batches and a smaller last one."""
    zh.seed(0)
    network = cuda_training.MODELS[model][0]().to("cupy")
    network.steps_alike = alike
    side = cuda_training.MODELS[model][1]
    history = training.fit(
        network, cuda_training.examples(side, count), epochs=epochs, batch_size=32, schedule="one-cycle",
        optimizer=optimizer(network.parameters(), lr=1e-2), augment=training.Augmentation(shift=1), progress=False,
    )  # fmt: skip
    return [move(array, "numpy") for array in network.state_dict().values()], history.column("loss")


@pytest.mark.parametrize("optimizer", [zh.optim.Adam, zh.optim.SGD])
@pytest.mark.parametrize("model", ["CapsNet", "LeNet", "everything else"])
def test_repeated_steps_give_the_bits_of_steps_asked_for_one_by_one(gpu, model, optimizer):
    (asked, losses), (repeated, again) = (trained(model, alike=alike, optimizer=optimizer) for alike in (False, True))
    assert losses == again
    for one, other in zip(asked, repeated):
        np.testing.assert_array_equal(one, other)


def test_a_step_is_recorded_once_and_what_draws_or_waits_is_not(gpu):
    from zerohero.stepping import Stepper

    def stepper(model, step=training.classification_step):
        network = model.to("cupy")
        network.steps_alike = True
        take = Stepper(network, zh.optim.Adam(network.parameters()), step)
        images, labels = (move(each, "cupy") for each in cuda_training.examples(12, 6))
        for _ in range(5):
            loss, _ = take(images, labels)
        assert np.isfinite(move(loss, "numpy"))
        assert all((p.data == p.data).all() for p in network.parameters())
        return [recorded is not None for recorded in take.recorded.values()]

    def waits(network, images, labels):
        loss, scores = training.classification_step(network, images, labels)
        return loss * (1.0 if loss.item() > 0 else 2.0), scores

    lenet = cuda_training.MODELS["LeNet"][0]
    assert stepper(lenet()) == [True]
    assert stepper(lenet(), waits) == [False]
    dropping = zh.nn.Sequential(zh.nn.Flatten(), zh.nn.Linear(144, 8), zh.nn.Dropout(0.5), zh.nn.Linear(8, 3))
    assert stepper(dropping) == [False]


# ---- is it worth it? ------------------------------------------------------------------------------------


def seconds(gpu, run, device):
    run(device)
    gpu.cupy.cuda.Device().synchronize()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run(device)
        gpu.cupy.cuda.Device().synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times)[2]


def test_capsule_layer_is_faster_than_on_the_cpu(gpu):
    on_cpu, on_gpu = seconds(gpu, layer, "numpy"), seconds(gpu, layer, "cupy")
    print(f"capsule_layer, forward and backward: CPU {on_cpu * 1e3:.1f} ms, GPU {on_gpu * 1e3:.2f} ms")
    assert on_gpu < on_cpu / 5


def test_an_epoch_of_training_is_faster_than_on_the_cpu(gpu):
    def epoch(device):
        zh.seed(0)
        model = zh.models.create("capsnet", preset="fast").to(device)
        training.fit(model, cuda_training.examples(28, 512, 10), epochs=1, batch_size=128, progress=False)

    on_cpu, on_gpu = seconds(gpu, epoch, "numpy"), seconds(gpu, epoch, "cupy")
    print(f"CapsNet, preset fast, 512 images: CPU {on_cpu:.2f} s, GPU {on_gpu:.3f} s")
    assert on_gpu < on_cpu / 3
