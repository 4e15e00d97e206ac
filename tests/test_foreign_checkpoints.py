"""Weights of others: every form of file, nothing that runs, names and shapes that don't fit, and known accuracies."""

import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_twins as twins

import zerohero as zh
from zerohero import models, nn
from zerohero.models.densenet import name_in_published_files
from zerohero.models.squeezenet import name_in_caffe

torch.set_num_threads(1)


@pytest.fixture
def theirs():
    """A small PyTorch network in torchvision's names, whose batch normalization has counted batches."""
    torch.manual_seed(0)
    model = twins.ResNetTwin(18, 5, 4)
    model(torch.randn(2, 3, 33, 33))
    return model.eval()


def ours():
    return models.create("resnet18", width=4, num_classes=5)


def assert_loaded(path, theirs, **options):
    model, image = ours(), np.random.default_rng(0).standard_normal((2, 3, 33, 33)).astype(np.float32)
    zh.load_weights(model, path, **options)
    with torch.no_grad():
        expected = theirs(torch.tensor(image)).numpy()
    np.testing.assert_allclose(model.scores(image), expected, rtol=1e-4, atol=1e-5)


def as_zip(path, state):
    torch.save(state, path)


def as_legacy(path, state):
    torch.save(state, path, _use_new_zipfile_serialization=False)


def as_npz(path, state):
    with open(path, "wb") as file:
        np.savez(file, **{name: tensor.numpy() for name, tensor in state.items()})


def as_safetensors(path, state):
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


@pytest.mark.parametrize("write", [as_zip, as_legacy, as_npz, as_safetensors])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
def test_weights_come_over_from_every_form_of_file_whatever_its_name(tmp_path, theirs, write, prefix):
    state = OrderedDict((prefix + name, value) for name, value in theirs.state_dict().items())
    assert any(name.endswith("num_batches_tracked") for name in state)
    path = tmp_path / "weights.bin"
    write(path, state)
    assert_loaded(path, theirs)


@pytest.mark.parametrize("holder", ["state_dict", "model_state_dict", "model", "net"])
def test_weights_are_found_beside_what_a_training_keeps(tmp_path, theirs, holder):
    torch.save({"epoch": 3, "best": 0.5, holder: theirs.state_dict(), "optimizer": {"lr": 0.1}}, tmp_path / "w.pth")
    assert_loaded(tmp_path / "w.pth", theirs)


def test_half_precision_and_bfloat16_become_float32(tmp_path):
    weight = torch.tensor([[1.5, -2.0]])
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        torch.save({"weight": weight.to(dtype), "bias": torch.zeros(1, dtype=dtype)}, tmp_path / "w.pt")
        layer = nn.Linear(2, 1)
        zh.load_weights(layer, tmp_path / "w.pt")
        assert layer.weight.dtype == np.float32
        np.testing.assert_array_equal(layer.weight.data, weight.numpy())


def test_a_name_that_only_begins_like_a_wrapper_is_kept():
    from zerohero.foreign import without_prefix

    assert without_prefix({"module.a": 1, "b": 2}) == {"module.a": 1, "b": 2}
    assert without_prefix({}) == {}


# ---- nothing runs ---------------------------------------------------------------------------------------


class Attack:
    """Unpickled, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("form", ["zip", "legacy", "npz", "pickle"])
def test_a_file_that_wants_to_run_something_is_refused_and_runs_nothing(tmp_path, form):
    path, mark = tmp_path / "weights.pth", tmp_path / "it ran"
    state = {"weight": torch.zeros(1, 2), "bias": Attack(mark)}
    if form == "npz":
        with open(path, "wb") as file:
            np.savez(file, weight=np.zeros((1, 2)), bias=np.array([Attack(mark)], object))
    elif form == "pickle":
        path.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    layer = nn.Linear(2, 1)
    before = layer.weight.data.copy()
    with pytest.raises(ValueError, match=r"load: .*weights\.pth"):
        zh.load_weights(layer, path)
    assert not mark.exists()
    assert (layer.weight.data == before).all()
    if form != "npz":  # the attack is a real one: PyTorch without the guard falls for it
        torch.load(path, weights_only=False) if form != "pickle" else pickle.loads(path.read_bytes())
        assert mark.exists()


def test_without_pytorch_a_checkpoint_says_what_would_read_it(tmp_path):
    torch.save({"weight": torch.zeros(1, 2), "bias": torch.zeros(1)}, tmp_path / "w.pth")
    np.savez(tmp_path / "w.npz", weight=np.ones((1, 2)), bias=np.ones(1))
    script = (
        "import sys, importlib.util, zerohero as zh\n"
        "class No:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'torch' else found(name, *a)\n"
        "layer = zh.nn.Linear(2, 1)\n"
        "zh.load_weights(layer, sys.argv[1] + '/w.npz')\n"
        "try: zh.load_weights(layer, sys.argv[1] + '/w.pth')\n"
        "except ImportError as error: print(error)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "is a PyTorch checkpoint, which needs PyTorch to be read: pip install 'zerohero[torch]'" in done.stdout


# ---- what doesn't fit -----------------------------------------------------------------------------------


def test_what_is_missing_unexpected_and_misshapen_is_listed_in_one_error(tmp_path, theirs):
    state = dict(theirs.state_dict())
    state["fc.weight"] = torch.zeros(10, 32)
    state["aux.weight"] = torch.zeros(3)
    del state["layer1.0.bn1.running_var"], state["conv1.weight"]
    torch.save(state, tmp_path / "w.pth")
    model = ours()
    before = model.layer2[0].conv1.weight.data.copy()
    with pytest.raises(ValueError, match="does not fit ResNet") as error:
        zh.load_weights(model, tmp_path / "w.pth")
    message = str(error.value)
    assert "missing: conv1.weight, layer1.0.bn1.running_var" in message
    assert "unexpected: aux.weight" in message
    assert "misshapen: fc.weight (10, 32) instead of (5, 32)" in message
    assert "num_batches_tracked" not in message
    assert (model.layer2[0].conv1.weight.data == before).all()


def damaged(path, change):
    content = path.read_bytes()
    path.write_bytes(change(content))
    return path


@pytest.mark.parametrize("write", [as_zip, as_legacy, as_npz])
@pytest.mark.parametrize(
    "change",
    [lambda c: c[: len(c) // 2], lambda c: c[:10], lambda c: c[:200] + b"\xff" * 40 + c[240:-40]],
    ids=["half", "ten bytes", "a hole"],
)
def test_a_damaged_file_is_refused_and_the_model_stays(tmp_path, theirs, write, change):
    path = tmp_path / "w.pth"
    write(path, theirs.state_dict())
    model = ours()
    before = model.state_dict()["conv1.weight"].copy()
    with pytest.raises(ValueError, match=r"load: .*w\.pth"):
        zh.load_weights(model, damaged(path, change))
    assert (model.state_dict()["conv1.weight"] == before).all()


@pytest.mark.parametrize(
    "content,words",
    [
        ([torch.zeros(1)], "hold tensors by name, .*but it is a list"),
        ({"epoch": 1, "history": [1.0]}, "but it has epoch, history"),
        ({}, "hold tensors by name"),
        (torch.zeros(2), "but it is a Tensor"),
    ],
    ids=["list", "no weights", "empty", "tensor"],
)
def test_a_checkpoint_without_weights_says_what_it_has(tmp_path, content, words):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=words):
        zh.load_weights(nn.Linear(2, 1), tmp_path / "w.pth")


def test_other_archives_and_arrays_of_text_are_no_weights(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "no weights")
    np.savez(tmp_path / "b.npz", weight=np.array(["a", "b"]))
    for name in ("a.zip", "b.npz"):
        with pytest.raises(ValueError, match=r"no \.npz file of plain arrays: .* holds no numbers"):
            zh.load_weights(nn.Linear(2, 1), tmp_path / name)


def test_names_can_be_translated(tmp_path):
    np.savez(tmp_path / "w.npz", W=np.ones((1, 2)), b=np.zeros(1), extra=np.zeros(1))
    layer = nn.Linear(2, 1)
    with pytest.raises(ValueError, match="does not fit Linear: unexpected: extra"):
        zh.load_weights(layer, tmp_path / "w.npz", rename=lambda name: name[0].replace("w", "W"))
    zh.load_weights(layer, tmp_path / "w.npz", rename=lambda name: name[0].replace("w", "W"), strict=False)
    assert (layer.weight.data == 1).all() and (layer.bias.data == 0).all()


def test_a_translated_name_is_not_taken_for_one_of_the_files(tmp_path):
    np.savez(tmp_path / "w.npz", W=np.ones((1, 2)), weight=np.full((1, 2), 7.0), bias=np.zeros(1))
    layer = nn.Linear(2, 1)

    def rename(name):
        return "W" if name == "weight" else name

    with pytest.raises(ValueError, match=r"unexpected: weight \(in the file\)$"):
        zh.load_weights(layer, tmp_path / "w.npz", rename=rename)
    zh.load_weights(layer, tmp_path / "w.npz", rename=rename, strict=False)
    assert (layer.weight.data == 1).all()


def test_a_file_with_none_of_the_names_is_refused_even_if_not_strict(tmp_path):
    np.savez(tmp_path / "w.npz", W=np.ones((1, 2)), b=np.zeros(1))
    with pytest.raises(ValueError, match="missing: weight, bias; unexpected: W, b"):
        zh.load_weights(nn.Linear(2, 1), tmp_path / "w.npz", strict=False)


def test_a_prefix_that_is_the_models_own_stays(tmp_path):
    class Wrapped(nn.Module):
        def __init__(self):
            self.module = nn.Linear(2, 1)

    first, second = Wrapped(), Wrapped()
    zh.save_weights(first, tmp_path / "w.safetensors")
    zh.load_weights(second, tmp_path / "w.safetensors")
    assert (first.module.weight.data == second.module.weight.data).all()


def test_an_archive_with_two_arrays_of_one_name_is_refused(tmp_path):
    np.savez(tmp_path / "w.npz", weight=np.ones((1, 2)), bias=np.zeros(1))
    with zipfile.ZipFile(tmp_path / "w.npz", "a") as archive:
        archive.writestr("weight", archive.read("weight.npy"))
    with pytest.raises(ValueError, match="more than one array of the name weight"):
        zh.load_weights(nn.Linear(2, 1), tmp_path / "w.npz")


@pytest.mark.parametrize(
    ("load", "words"),
    [(lambda: nn.Linear(2, 1).load_state_dict("w.pth"), "state needs a mapping from names to arrays, but got 'w.pth'"),
     (lambda: nn.Linear(2, 1).load_state_dict({0: 1}), "state needs a mapping from names to arrays"),
     (lambda: zh.load_weights("lenet5", "w.npz"), "model needs to be a Module, but got 'lenet5'")],
)  # fmt: skip
def test_what_is_no_model_and_no_state_is_named(load, words):
    with pytest.raises(TypeError, match=words):
        load()


def test_densenets_are_read_in_the_older_spelling_of_torchvisions_files(tmp_path):
    torch.manual_seed(0)
    theirs = twins.DenseNetTwin(121, 5, 4).eval()
    older = {
        name.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1").replace("conv2", "conv.2")
        if "denselayer" in name
        else name: value
        for name, value in theirs.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in older and "features.transition1.norm.weight" in older
    torch.save(older, tmp_path / "w.pth")
    model, image = models.create("densenet121", growth=4, num_classes=5), np.ones((1, 3, 32, 32), np.float32)
    with pytest.raises(ValueError, match=r"missing: features.denseblock1.denselayer1.norm1.weight"):
        zh.load_weights(model, tmp_path / "w.pth")
    zh.load_weights(model, tmp_path / "w.pth", rename=name_in_published_files)
    with torch.no_grad():
        np.testing.assert_allclose(model.scores(image), theirs(torch.tensor(image)).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["fc.weight", "features.5.squeeze.weight", "features.99.weight", "classifier.3.squeeze.bias", 7]
)
def test_name_in_caffe_refuses_other_names(name):
    with pytest.raises(ValueError, match="parameter of squeezenet1_1, but got"):
        name_in_caffe(name)


# ---- networks that others trained -----------------------------------------------------------------------

DATA = Path(os.environ.get("ZEROHERO_DATA", "."))


@pytest.fixture(scope="module")
def cifar():
    """The first 1,000 test images, normalised as the weights want them."""
    test = zh.datasets.load("cifar10", "test", download=False)
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return (test.images[:1000] - mean[:, None, None]) / deviation[:, None, None], test.labels[:1000]


@pytest.mark.data
@pytest.mark.parametrize(
    "name,file,accuracy",
    [
        ("resnet20", "resnet20-12fca82f.th", 0.915),
        ("resnet20", "resnet20-12fca82f.npz", 0.915),
        ("resnet32", "resnet32-d509ac18.th", 0.928),
        ("resnet44", "resnet44-014dd654.th", 0.933),
        ("resnet56", "resnet56-4bfd9763.th", 0.926),
    ],
)
def test_resnets_trained_by_another_reach_their_accuracy_on_cifar10(cifar, name, file, accuracy):
    images, labels = cifar
    assert len(labels) == 1000
    model = models.create(name)
    zh.load_weights(model, DATA / "weights" / "cifar10-resnet" / file)
    found = (model.predict(images) == labels).mean()
    print(f"{name}: {found:.3f}")
    assert found == pytest.approx(accuracy, abs=1e-9)


@pytest.mark.data
def test_squeezenet_says_tabby():
    from matplotlib.image import imread

    model = models.create("squeezenet1_1")
    folder = DATA / "weights" / "squeezenet1.1-imagenet"
    zh.load_weights(model, folder / "SqueezeNet_fp16.npz", rename=name_in_caffe)
    image = 255 * imread(DATA / "images" / "kitten_224.png")[:, :, 2::-1].transpose(2, 0, 1)  # blue first, 0 … 255
    probabilities = zh.softmax(model.scores(image))
    words = (DATA / "labels" / "imagenet_synset.txt").read_text().splitlines()
    print(f"{words[probabilities.argmax()]}: {probabilities.max():.6f}")
    assert "tabby" in words[probabilities.argmax()]
    assert probabilities.max() == pytest.approx(0.9314, abs=0.001)
    assert probabilities[285] == pytest.approx(0.0653, abs=0.001)  # Egyptian cat
