"""The `zerohero` command: what it does, what it says when the input is wrong, and what Ctrl-C leaves behind."""

import importlib.util
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import zerohero as zh
from zerohero import checkpoints, cli, diagnosis, models, recipes, weights
from zerohero.cli import lab


@pytest.fixture
def zerohero(capsys):
    """Run a command line in this process; gives exit code, output, and error output without the progress bar."""

    def run(*arguments):
        capsys.readouterr()
        with zh.use_backend("numpy"), pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        lines = [line for line in err.replace("\r", "\n").splitlines() if line and "batch/s" not in line]
        return ended.value.code, out, "".join(f"{line}\n" for line in lines)

    return run


def start(*arguments, **settings):
    """Run a command line in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200"}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    return subprocess.Popen([sys.executable, "-m", "zerohero", *map(str, arguments)], **pipes | settings)


QUICK = ("train", "lenet5", "--data", "digits", "--epochs", 1, "--limit", 64)


# ---- help -----------------------------------------------------------------------------------------------


def test_help_names_every_command_and_brings_in_nothing_heavy():
    code = (
        "import sys\n"
        "from zerohero.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as ended: assert ended.code == 0\n"
        "heavy = ('numba', 'torch', 'matplotlib', 'sklearn', 'tqdm', 'safetensors', 'pooch')\n"
        "print('HEAVY', *[name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stderr == "" and done.stdout.rstrip().endswith("HEAVY")
    for command in cli.COMMANDS:
        assert re.search(rf"\b{command}\b", done.stdout)


def test_without_arguments_the_command_shows_its_help(zerohero):
    assert zerohero() == zerohero("--help")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_help_of_every_command_shows_examples(zerohero, command):
    status, out, _ = zerohero(command, "--help")
    assert status == 0
    assert len(re.findall(rf"^ +zerohero {command}", out, re.MULTILINE)) >= 2


def test_version(zerohero):
    assert zerohero("--version") == (0, f"zerohero {zh.__version__}\n", "")


# ---- train and evaluate ---------------------------------------------------------------------------------


def test_train_measures_and_writes_weights_with_a_card_that_evaluate_confirms(zerohero, tmp_path):
    path = tmp_path / "mine.safetensors"
    arguments = ("train", "lenet5", "--data", "digits", "--epochs", 3, "--seed", 5, "--dtype", "float16", "--out", path)
    status, out, err = zerohero(*arguments, "--curves", tmp_path / "curves.png")
    assert (status, err) == (0, "")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "3 epochs in batches of 32" in out and "61,706 parameters, trained on 1,348 images" in out
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["command"] == (
        "zerohero train lenet5 --data digits --epochs 3 --seed 5 --dtype float16 --out mine.safetensors"
    )
    assert f"test: {card['test']['right']} of 449 right" in out
    assert str(tmp_path) not in path.with_suffix(".json").read_text()

    status, out, _ = zerohero("evaluate", path, "--data", "digits", "--json")
    found = json.loads(out)
    assert status == 0 and found["right"] == card["test"]["right"] and found["examples"] == 449

    assert zerohero(*shell_words(card["command"], tmp_path / "again"))[0] == 0
    again = weights.read(tmp_path / "again" / "mine.safetensors")[0]
    first = weights.read(path)[0]
    assert all((a == b).all() for a, b in zip(first.state_dict().values(), again.state_dict().values()))


def shell_words(command, folder):
    """The command of a card, writing into another folder."""
    folder.mkdir()
    words = command.split()[1:]
    return [*words[:-1], folder / words[-1]]


def test_shipped_weights_are_evaluated_by_name(zerohero):
    card = weights.card("lenet5_digits")
    status, out, _ = zerohero("evaluate", "lenet5_digits", "--data", "digits")
    assert status == 0
    assert re.search(r"lenet5_digits \(lenet5\) on the test split of digits:\n  44\d of 449 right, 9[89]\.\d\d%", out)
    right = json.loads(zerohero("evaluate", "lenet5_digits", "--data", "digits", "--json")[1])["right"]
    assert abs(right - card["test"]["right"]) <= 1
    train = json.loads(zerohero("evaluate", "lenet5_digits", "--data", "digits", "--split", "train", "--json")[1])
    assert train["examples"] == 1348 and train["accuracy"] > 0.99


def test_options_override_the_recipe(zerohero):
    status, out, _ = zerohero(*QUICK, "--batch-size", 16, "--lr", 0.01, "--schedule", "none", "--shift", 0, "--flip",
                              "--validation", 0.25, "--json")  # fmt: skip
    card = json.loads(out)
    assert status == 0
    chosen = {name: card["recipe"][name] for name in ("epochs", "batch_size", "lr", "schedule", "shift", "flip")}
    assert chosen == {"epochs": 1, "batch_size": 16, "lr": 0.01, "schedule": None, "shift": 0, "flip": True}
    assert card["data"]["examples"] == 64 and card["data"]["held_out"] == 337 and "val_accuracy" in card["history"][0]
    assert card["command"].endswith("--schedule none --shift 0 --flip --seed 0 --validation 0.25 --limit 64")


def test_a_training_goes_on_from_its_checkpoint(zerohero, tmp_path):
    checkpoint = tmp_path / "run.safetensors"
    settings = ("train", "lenet5", "--data", "digits", "--limit", 64, "--schedule", "none", "--checkpoint", checkpoint)
    assert zerohero(*settings, "--epochs", 1)[0] == 0
    status, out, _ = zerohero(*settings, "--epochs", 2, "--json")
    assert status == 0 and len(json.loads(out)["history"]) == 2
    unbroken = json.loads(zerohero(*settings[:-2], "--epochs", 2, "--json")[1])
    assert [row["loss"] for row in unbroken["history"]] == [row["loss"] for row in json.loads(out)["history"]]
    status, out, _ = zerohero(*settings, "--epochs", 1, "--no-resume", "--json")
    assert status == 0 and len(json.loads(out)["history"]) == 1


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT, which it must not ignore as background jobs do")
def test_ctrl_c_in_a_training_says_where_the_checkpoint_is(tmp_path):
    checkpoint = tmp_path / "run.safetensors"
    process = start("train", "lenet5", "--data", "digits", "--epochs", 500, "--limit", 64, "--checkpoint", checkpoint,
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # fmt: skip
    wait_for(checkpoint.exists, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    last = err.strip().splitlines()[-1]
    assert process.returncode == 130
    held = len(checkpoints.load_checkpoint(checkpoint)[1]["epochs"])
    assert last.startswith(f"zerohero train: stopped; checkpoint {checkpoint} holds the epochs done so far ({held}),")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "options,words",
    [
        ((), "stopped; nothing was kept"),
        (("--checkpoint", "run.safetensors"), "stopped before the first epoch was done"),
    ],
)
def test_ctrl_c_without_a_finished_epoch_says_so(zerohero, tmp_path, monkeypatch, options, words):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipes, "train", interrupt)
    status, out, err = zerohero(*QUICK, *options)
    assert status == 130 and words in err and len(err.splitlines()) == 1


def wait_for(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


# ---- wrong input ----------------------------------------------------------------------------------------

WRONG = {
    "unknown command": (("trian",), "zerohero: No such command 'trian'"),
    "no action": (("exercises",), "Missing argument 'action'. Choose from: build, check"),
    "no port": (("lab", "--port", 70_000), "Invalid value for '--port'"),
    "no notebook": (("check", "notes.txt"), "there is no notebook 'notes.txt'"),
    "unknown exercise": (("progress", "99"), "exercise needs to be one of .* but got '99'"),
    "unknown option": (("train", "lenet5", "--data", "digits", "--epoch", 3), "train: No such option: --epoch"),
    "no model": (("train",), "zerohero train: Missing argument 'MODEL'"),
    "no data": (("train", "lenet5"), "zerohero train: Missing option '--data'"),
    "no integer": (("train", "lenet5", "--data", "digits", "--epochs", "many"), "Invalid value for '--epochs'"),
    "unknown model": (("train", "lenet6", "--data", "digits"), "model needs one of 'lenet5'.*but got 'lenet6'"),
    "unknown data": (("train", "lenet5", "--data", "digit"), "data needs one of 'affnist', 'cifar10'.*but got 'digit'"),
    "no epochs": ((*QUICK, "--epochs", 0), "epochs needs to be at least 1, but got 0"),
    "negative rate": ((*QUICK, "--lr", -1), "lr needs to lie in .* but got -1"),
    "unknown schedule": ((*QUICK, "--schedule", "fast"), "schedule needs one of one-cycle, cosine .*'fast'"),
    "negative shift": ((*QUICK, "--shift", -1), "shift needs to be at least 0"),
    "negative seed": ((*QUICK, "--seed", -1), "seed needs to be at least 0"),
    "no images": ((*QUICK, "--limit", 0), "limit needs to be at least 1"),
    "everything held out": ((*QUICK, "--validation", 1.0), "leaves a part empty"),
    "unknown dtype": ((*QUICK, "--dtype", "int8"), "dtype needs one of 'float32', 'float16', but got 'int8'"),
    "unknown backend": ((*QUICK, "--backend", "abacus"), "got 'abacus', but here only numpy"),
    "out is no safetensors": ((*QUICK, "--out", "w.pt"), r"ends in \.safetensors, but got 'w.pt'"),
    "out is nowhere": ((*QUICK, "--out", "no/w.safetensors"), "the folder 'no' does not exist"),
    "curves are no picture": ((*QUICK, "--curves", "curves.txt"), r"--curves needs a file that ends in .png"),
    "curves are nowhere": ((*QUICK, "--curves", "no/curves.png"), "--curves needs a folder that exists"),
    "checkpoint is no safetensors": ((*QUICK, "--checkpoint", "run.zip"), r"ends in \.safetensors, but got 'run.zip'"),
    "no weights file": (("evaluate", "no.safetensors", "--data", "digits"), "there is no file 'no.safetensors'"),
    "a model without weights": (("evaluate", "lenet5", "--data", "digits"), "'lenet5' is a model without weights"),
    "unknown split": (("evaluate", "lenet5_digits", "--data", "digits", "--split", "dev"), "has no split 'dev'"),
    "images that don't fit": (("evaluate", "lenet5_digits", "--data", "faces"), "expects 400 inputs"),
    "a folder that isn't there": (("lab", "--folder", "nowhere"), "there is no folder 'nowhere'"),
    "no course here": (("lab",), "the course's folder notebooks is neither here"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_input_ends_with_one_sentence_and_exit_code_2(zerohero, tmp_path, monkeypatch, kind):
    arguments, words = WRONG[kind]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab, "PACKAGE", tmp_path / "site-packages" / "zerohero")
    status, out, err = zerohero(*arguments)
    assert status == 2
    assert re.search(words, err), err
    assert len(err.splitlines()) == 1 and "Traceback" not in err and err.startswith("zerohero")
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    "content,words",
    [
        (b"not at all", "is damaged or no safetensors file"),
        (None, "misshapen: conv1.weight"),
    ],
    ids=["damaged", "weights of another model"],
)
def test_weights_that_cannot_be_used_are_told(zerohero, tmp_path, content, words):
    path = tmp_path / "w.safetensors"
    colour = models.create("lenet5", in_channels=3)
    zh.save_weights(colour, path, metadata={"model": "lenet5", "options": "{}"})
    if content is not None:
        path.write_bytes(content)
    status, _, err = zerohero("evaluate", path, "--data", "digits")
    assert status == 2 and re.search(words, err) and len(err.splitlines()) == 1


def test_a_checkpoint_of_other_settings_is_told(zerohero, tmp_path):
    checkpoint = tmp_path / "run.safetensors"
    assert zerohero(*QUICK, "--checkpoint", checkpoint)[0] == 0
    status, _, err = zerohero(*QUICK, "--checkpoint", checkpoint, "--seed", 1)
    assert status == 2 and "was written with seed 0, but now it is 1" in err and len(err.splitlines()) == 1


def test_a_training_that_diverges_is_no_wrong_input(zerohero):
    status, _, err = zerohero(*QUICK, "--epochs", 20, "--lr", 1e30, "--schedule", "none")
    assert status == 1 and "try a learning rate below 1e+30" in err and len(err.splitlines()) == 1


def test_debug_shows_where_an_error_comes_from():
    process = start("train", "lenet6", "--data", "digits", "--debug")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" in err and "lenet6" in err


def test_a_defect_of_our_own_is_called_one(zerohero, monkeypatch):
    monkeypatch.setattr(diagnosis, "doctor", lambda: {}["nothing"])
    status, _, err = zerohero("doctor")
    assert status == 1 and err == "zerohero: KeyError: 'nothing'; a defect of zerohero: --debug shows where\n"


def test_a_terminal_without_our_characters_sees_question_marks(monkeypatch):
    """As a Windows console in an old code page; a string with them must not end the command."""
    for command, lines in (("progress", 2), ("--help", 10)):
        out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(SystemExit) as ended:
            cli.main([command])
        out.flush()
        assert ended.value.code == 0 and out.buffer.getvalue().count(b"\n") >= lines


def test_what_the_system_refuses_is_told_in_its_words(zerohero, monkeypatch):
    def refuse():
        raise PermissionError(13, "Permission denied", "/locked/file")

    monkeypatch.setattr(diagnosis, "doctor", refuse)
    assert zerohero("doctor") == (2, "", "zerohero: Permission denied: '/locked/file'\n")


# ---- doctor ---------------------------------------------------------------------------------------------


def test_doctor_prints_a_report_or_json(zerohero):
    status, out, _ = zerohero("doctor")
    report = zh.doctor()
    assert out == f"{report}\n" and status == (1 if report.problems else 0)
    assert out.startswith(f"zerohero {zh.__version__}, Python 3.")
    assert json.loads(zerohero("doctor", "--json")[1])["versions"]["zerohero"] == zh.__version__


def test_doctor_says_where_data_sets_are(tmp_path, monkeypatch):
    monkeypatch.setenv("ZEROHERO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZEROHERO_DATA", str(tmp_path))
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        (folder / part).write_bytes(b"")
    data = zh.doctor().data
    assert data["mnist"] == f"ZEROHERO_DATA ({folder}): test only; the rest will be downloaded when asked for"
    assert data["kmnist"] == "will be downloaded when asked for"
    assert data["digits"] == "scikit-learn"


def test_doctor_reports_a_wrong_data_folder_instead_of_failing(monkeypatch):
    monkeypatch.setenv("ZEROHERO_DATA", "/no/such/folder")
    report = zh.doctor()
    assert any("ZEROHERO_DATA is '/no/such/folder'" in problem for problem in report.problems)
    assert "1 problem:" in repr(report) or "problems:" in repr(report)


def test_doctor_names_what_is_not_installed(monkeypatch):
    version = diagnosis._version
    monkeypatch.setattr(diagnosis, "_version", lambda name: None if name in ("jupyterlab", "torch") else version(name))
    report = zh.doctor()
    assert any("jupyterlab is not installed, and the lectures need it" in problem for problem in report.problems)
    assert not any("torch" in problem for problem in report.problems)
    assert "not installed: jupyterlab, torch" in repr(report)


def test_doctor_reports_more_threads_than_cores(monkeypatch):
    monkeypatch.setattr(diagnosis, "_cores", lambda: 1)
    monkeypatch.setattr(diagnosis, "_threads", lambda: 8)
    assert any("8 threads for matrix products share 1 core" in problem for problem in zh.doctor().problems)


def test_doctor_survives_a_cupy_that_fails(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text("raise RuntimeError('no driver,\\nno GPU')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    assert zh.doctor().gpu == "not used: CuPy is installed, but fails: RuntimeError: no driver, no GPU"


def test_doctor_names_the_gpu_that_cupy_finds(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text(
        "from types import SimpleNamespace as S\n"
        "__version__ = '14.2.0'\n"
        "is_available = lambda: True\n"
        "properties = {'name': b'NVIDIA H200', 'totalGlobalMem': 139 * 2**30}\n"
        "cuda = S(runtime=S(getDeviceProperties=lambda index: properties))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    assert zh.doctor().gpu == "NVIDIA H200, 139 GiB, CuPy 14.2.0"
    monkeypatch.delitem(sys.modules, "cupy", raising=False)


# ---- lab ------------------------------------------------------------------------------------------------


@pytest.fixture
def course(tmp_path):
    """A small checkout with a first notebook."""
    notebooks = tmp_path / "course" / "notebooks"
    notebooks.mkdir(parents=True)
    empty = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    for name in ("00-start-here.ipynb", "01-convolution.ipynb"):
        (notebooks / name).write_text(json.dumps(empty))
    return tmp_path / "course"


@pytest.fixture
def commands(monkeypatch):
    """The command lines that would have been started."""
    started = []

    def instead(program, command=None):  # os.execv(program, command) or subprocess.call(command)
        started.append(command or program)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", instead)
    monkeypatch.setattr(subprocess, "call", instead)
    return started


def test_lab_opens_the_first_notebook_of_the_course_it_stands_in(zerohero, course, commands, monkeypatch):
    monkeypatch.chdir(course)
    assert zerohero("lab")[0] == 0
    assert commands[0][:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={course}" in commands[0]
    assert "--LabApp.default_url=/lab/tree/notebooks/00-start-here.ipynb" in commands[0]
    assert not any("open_browser" in word or "port" in word for word in commands[0])


def test_lab_finds_the_course_beside_the_package_or_where_it_is_told(zerohero, course, commands, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab, "PACKAGE", course / "zerohero")
    zerohero("lab")
    zerohero("lab", "--folder", course / "notebooks")
    assert f"--ServerApp.root_dir={course}" in commands[0]
    assert f"--ServerApp.root_dir={course / 'notebooks'}" in commands[1]
    assert "--LabApp.default_url=/lab/tree/00-start-here.ipynb" in commands[1]


def test_lab_opens_a_folder_without_the_course_too(zerohero, commands, tmp_path):
    assert zerohero("lab", "--folder", tmp_path)[0] == 0
    assert "--LabApp.default_url=/lab" in commands[0]


def test_lab_passes_on_port_browser_and_what_it_does_not_know(zerohero, course, commands, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    zerohero("lab", "--folder", course, "--port", 8890, "--no-browser", "--ServerApp.ip=0.0.0.0")
    assert commands[0][-3:] == ["--ServerApp.port=8890", "--ServerApp.open_browser=False", "--ServerApp.ip=0.0.0.0"]
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    zerohero("lab", "--folder", course)
    assert "--allow-root" in commands[1] and "--allow-root" not in commands[0]


def test_lab_without_jupyterlab_says_how_to_install_it(zerohero, course, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jupyterlab" else find(name))
    status, _, err = zerohero("lab", "--folder", course)
    assert status == 2 and err == "zerohero: lab: JupyterLab is not installed here: pip install 'zerohero[course]'\n"


def test_lab_serves_the_course(course, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = open(tmp_path / "log", "w")
    environment = os.environ | {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    process = start("lab", "--folder", course, "--port", port, "--no-browser", "--IdentityProvider.token=",
                    stdout=log, stderr=log, env=environment, start_new_session=True)  # fmt: skip
    try:
        page = None

        def answers():
            nonlocal page
            try:
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20)
            except OSError:
                return False
            return True

        wait_for(answers, process, seconds=90)
        assert page.status == 200
        assert page.url == f"http://127.0.0.1:{port}/lab/tree/notebooks/00-start-here.ipynb"
        listed = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/api/contents/notebooks", timeout=20))
        assert sorted(each["name"] for each in listed["content"]) == ["00-start-here.ipynb", "01-convolution.ipynb"]
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def test_the_installed_command_is_this_one():
    script = Path(sys.executable).with_name("zerohero")
    if not script.exists() and not shutil.which("zerohero"):
        pytest.skip("the package is not installed here")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"zerohero {zh.__version__}\n"
