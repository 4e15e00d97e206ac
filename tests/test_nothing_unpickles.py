"""No file that is read can run anything: the library's code is walked, and every reader is given a file that would."""

import ast
import gzip
import json
import pickle
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

import zerohero as zh
from zerohero import datasets, nn, training, transfer, weights
from zerohero.checkpoints import load_checkpoint, write_arrays
from zerohero.checks import records
from zerohero.datasets import affnist, cifar10, files, mnist, smallnorb
from zerohero.datasets.idx import read_idx
from zerohero.grading import classes, exchange, notebooks

PACKAGE = Path(zh.__file__).parent
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml", "xmlrpc"}
RUNNING = {"eval", "exec", "compile", "__import__"}
CALLS, OPTIONS = {*RUNNING, "load", "loadmat"}, {"weights_only", "allow_pickle"}
# Where code is run after all, and whose: (file, what) -> how often.
ALLOWED = {
    ("checks/exercise_03.py", "exec"): 1,           # a formula of that file, against the student's
    ("kernels/numba_cpu/tiles.py", "eval"): 1,      # a function of that file's own text
    ("grading/run_student.py", "exec"): 2,          # the student's code, in the sandbox made for it
    ("grading/run_student.py", "compile"): 1,
    ("grading/slicing.py", "compile"): 1,           # which run_student.py runs there
    ("foreign.py", "torch.load"): 1,                # with weights_only=True
}  # fmt: skip


def dangers(source, name):
    """What in a module's source could run what is in a file: [(file, what)]."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(name, alias.name) for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found += [(name, node.module)] if node.module.split(".")[0] in MODULES else []
        elif isinstance(node, ast.Call):
            options = {option.arg: ast.unparse(option.value) for option in node.keywords if option.arg in OPTIONS}
            last = getattr(node.func, "attr", getattr(node.func, "id", ""))
            called = ast.unparse(node.func) if last in CALLS else ""
            if called in RUNNING or last == "loadmat":
                found.append((name, called))
            if called == "torch.load":
                safe = options.get("weights_only") == "True"
                found.append((name, "torch.load" if safe else "torch.load, which would run a file"))
            if options.get("allow_pickle", "False") != "False":
                found.append((name, "allow_pickle"))
            if called in ("np.load", "numpy.load") and options.get("allow_pickle") != "False":
                found.append((name, "np.load without allow_pickle=False"))
    return found


def test_no_code_of_the_library_runs_what_is_in_a_file():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for danger in dangers(path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix()):
            found[danger] = found.get(danger, 0) + 1
    assert found == ALLOWED


@pytest.mark.parametrize("source", [
    "import pickle", "from pickle import loads", "import joblib as j", "from yaml import load", "x = eval(text)",
    "exec(code)", "np.load(path)", "np.load(path, allow_pickle=True)", "torch.load(path)",
    "torch.load(path, weights_only=False)", "lib.read_array(f, allow_pickle=anything)", "scipy.io.loadmat(path)",
])  # fmt: skip
def test_the_walk_sees_what_would_run(source):
    assert dangers(source, "some.py") and dangers(f"def f():\n    if x:\n        {source}", "some.py")[0] not in ALLOWED


# ---- a pickle that would leave a mark ------------------------------------------------------------------------


class Attack:
    """Unpickled, it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def _train(path):
    images, labels = np.ones((4, 1, 2, 2), np.float32), np.array([0, 1, 0, 1])
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    training.fit(model, (images, labels), epochs=1, checkpoint=path, progress=False)


def _features(path):
    model = zh.models.create("lenet5", image_size=12)
    transfer.features(model, np.ones((2, 1, 12, 12), np.float32), layer="fc2", cache=path, progress=False)


READERS = {
    "load_weights": lambda path: zh.load_weights(nn.Linear(2, 1), path),
    "weights.read": weights.read,
    "load_checkpoint": load_checkpoint,
    "fit": _train,
    "features": _features,
    "read_idx": read_idx,
    "read_batch": cifar10.read_batch,
    "cifar archive": lambda path: cifar10._from_archive(path, {"a.bin": None}),
    "read_matrix": smallnorb.read_matrix,
    "read_affnist": affnist.read_affnist,
    "outputs": lambda path: exchange.unpack(path.read_bytes()),
    "notebook": notebooks.read,
    "progress": lambda path: records.solved(),
    "grade": lambda path: classes.recorded(path, "key"),
}
TOLERANT = ("progress", "grade")  # which read nothing where there is nothing to read


def forms(path, attack):
    """Write one file after the other that holds the attack; yield what each is."""
    for protocol in range(6):
        path.write_bytes(pickle.dumps({"weight": attack, "bias": attack}, protocol))
        yield f"a pickle of protocol {protocol}"
    path.write_bytes(gzip.compress(pickle.dumps(attack)))
    yield "a packed pickle"
    objects = np.array([attack, attack], object)
    for save in (np.savez, np.savez_compressed):
        with open(path, "wb") as file:
            save(file, weight=objects, bias=objects)
        yield "an archive of objects"
    with open(path, "wb") as file:
        np.save(file, objects, allow_pickle=True)
    yield "an array of objects"
    written = write_arrays(path.with_name("w.safetensors"), {"weight": np.frombuffer(pickle.dumps(attack), np.uint8)},
                           {"model": pickle.dumps(attack, 0).decode(), "facts": pickle.dumps(attack, 0).decode()})
    path.write_bytes(written.read_bytes())
    yield "a pickle as numbers and text"
    path.write_bytes(b"\x93NUMPY\1\0\x40\0{'descr': __import__('os').system('true')}")
    yield "an expression as an array's header"


@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_would_run_is_refused_and_runs_nothing(tmp_path, monkeypatch, reader):
    mark, path = tmp_path / "it ran", tmp_path / "file.safetensors"
    monkeypatch.setenv("ZEROHERO_PROGRESS", str(path))
    for form in forms(path, Attack(mark)):
        try:
            READERS[reader](path)
        except (ValueError, OSError):
            pass
        else:
            assert reader in TOLERANT, f"{reader} reads {form}"
        assert not mark.exists(), f"{reader} ran {form}"
    pickle.loads(pickle.dumps(Attack(mark)))
    assert mark.exists()  # the attack is a real one


def test_data_sets_by_name_run_nothing(tmp_path, monkeypatch):
    mark = tmp_path / "it ran"
    monkeypatch.setenv("ZEROHERO_DATA", str(tmp_path))
    monkeypatch.setenv("ZEROHERO_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "file"
    for _ in forms(path, Attack(mark)):
        content = path.read_bytes()
        remotes = [remote for member in mnist.FAMILY.values() for pair in member.files.values() for remote in pair]
        names = [*((remote.folder, remote.name) for remote in remotes), ("cifar10", cifar10.ARCHIVE.name),
                 ("cifar10", "data_batch_1.bin"), ("smallnorb", "smallnorb_12pairs.npz")]  # fmt: skip
        for folder, name in names:
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_bytes(content)
        for name in ("mnist", "fashion_mnist", "kmnist", "cifar10", "smallnorb"):
            with pytest.raises((ValueError, OSError)):
                datasets.load(name, download=False)
        assert not mark.exists()
        files._digests.clear()


def test_matlab_objects_and_archives_that_point_outside_run_and_write_nothing(tmp_path):
    mark = tmp_path / "it ran"
    text = pickle.dumps(Attack(mark)).decode("latin1")
    savemat(tmp_path / "a.mat", {"affNISTdata": {"image": np.array([text], object)}})
    with pytest.raises(ValueError, match="no MATLAB file"):
        affnist.read_affnist(tmp_path / "a.mat")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        kinds = {"x/a.bin": tarfile.SYMTYPE, "../../escaped": tarfile.REGTYPE, "a.bin": tarfile.LNKTYPE}
        for name, kind in kinds.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    with pytest.raises(ValueError, match=r"a\.tar\.gz"):
        cifar10._from_archive(tmp_path / "a.tar.gz", {"a.bin": None})
    assert not mark.exists() and not list(tmp_path.parent.glob("escaped*"))


def test_options_in_a_model_file_are_values_and_never_code(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    for model in ("__import__('os').system('true')", "os", "../lenet5", "zerohero.models.lenet"):
        path = zh.save_weights(nn.Linear(2, 1), tmp_path / "m.safetensors", metadata={"model": model, "options": "{}"})
        with pytest.raises(ValueError, match="name needs one of"):
            weights.read(path)
    text = {"model": "lenet5", "options": json.dumps({"variant": "__import__('os').system('true')"})}
    with pytest.raises(ValueError, match="variant needs one of"):
        weights.read(zh.save_weights(nn.Linear(2, 1), tmp_path / "m.safetensors", metadata=text))
