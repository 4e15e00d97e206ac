"""The repository as it is handed out: environments in step, files small and clean, nothing that unpickles."""

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"matplotlib": "matplotlib-base", "torch": "pytorch"}
IN_CONDA = ("course", "torch", "test")  # the extras that environment.yml holds
MEGABYTE = 1_000_000


@cache
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirement(text):
    """Split 'onnx>=1.17' or 'numba-cuda[cu13]>=0.30' into name and version range."""
    name, _, versions = re.fullmatch(r"([\w.-]+)(\[\w+\])?(.*)", text.replace(" ", "")).groups()
    return name, versions


def required(*extras):
    """Return {name: versions} of what the library and these extras need, by pip's names."""
    project = pyproject()["project"]
    texts = list(project["dependencies"])
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    return dict(requirement(text) for text in texts)


def conda(file):
    """Return {name: versions} of a conda environment, and its channels."""
    environment = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    texts = [text for text in environment["dependencies"] if isinstance(text, str)]
    return dict(requirement(text) for text in texts), environment["channels"]


@cache
def committed():
    """Return the paths that git tracks; without git, those that .gitignore does not name."""
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if git.returncode == 0:
        found = [ROOT / name for name in git.stdout.split("\0") if name]
        return [path for path in found if path.is_file()]
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()] + [".git"]
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not any(Path(part).match(i) for part in path.relative_to(ROOT).parts for i in ignored)
    ]


def committed_texts():
    """Yield (path from the root, text) of every committed file that is text."""
    for path in committed():
        try:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


# --- environments ---------------------------------------------------------------------------------------------


def test_the_conda_environment_holds_what_pyproject_requires_in_the_same_versions():
    wanted = {CONDA_NAMES.get(name, name): versions for name, versions in required(*IN_CONDA).items()}
    found, channels = conda("environment.yml")
    wanted |= {"python": pyproject()["project"]["requires-python"], "pip": ""}
    wanted |= dict(map(requirement, pyproject()["build-system"]["requires"]))
    assert found == wanted
    assert channels == ["conda-forge", "nodefaults"]


def test_the_conda_environment_installs_the_course_itself():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert {"pip": ["-e ."]} in dependencies


def test_the_gpu_environment_holds_the_gpu_pair_in_the_same_versions():
    found, channels = conda("environment-gpu.yml")
    assert channels == ["conda-forge", "nodefaults"]
    for extra, cupy in (("cuda12", "cupy-cuda12x"), ("cuda13", "cupy-cuda13x")):
        pair = dict(requirement(text) for text in pyproject()["project"]["optional-dependencies"][extra])
        assert pair == {cupy: found["cupy"], "numba-cuda": found["numba-cuda"]}


def test_both_environments_have_one_name():
    names = {yaml.safe_load((ROOT / f).read_text())["name"] for f in ("environment.yml", "environment-gpu.yml")}
    assert names == {"zerohero"}


def test_constraints_pin_one_torch():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["torch==2.13.0"]


def test_every_extra_of_the_tests_is_installed_by_make():
    makefile = (ROOT / "Makefile").read_text()
    assert '-e ".[course]"' in makefile
    assert '-e ".[course,torch,ptx,test,dev]"' in makefile
    assert "-c constraints.txt" in makefile


def test_continuous_integration_does_what_make_test_does():
    script = ROOT / ".ci" / "run"
    assert script.read_text().splitlines()[-1] == "make test"
    assert script.stat().st_mode & 0o111, ".ci/run cannot be executed"
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    job = workflow["jobs"]["test"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert workflow["permissions"] == {"contents": "read"}
    oldest = pyproject()["project"]["requires-python"].removeprefix(">=")
    assert job["strategy"]["matrix"]["python"][0] == oldest


# --- the package ----------------------------------------------------------------------------------------------


def test_the_version_is_the_same_everywhere():
    import zerohero

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == zerohero.__version__
    changes = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    assert changes[0] == zerohero.__version__


def test_the_wheel_holds_every_committed_file_of_the_package(tmp_path):
    build = "import setuptools.build_meta as b, sys; b.build_wheel(sys.argv[1])"
    source = tmp_path / "source"
    for path in committed():
        name = path.relative_to(ROOT)
        if name.parts[0] == "zerohero" or name.name in {"pyproject.toml", "README.md", "LICENSE", "LICENSE-text"}:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(path.read_bytes())
    done = subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("zerohero/")}
    wanted = {path.relative_to(ROOT).as_posix() for path in committed()}
    assert held == {name for name in wanted if name.startswith("zerohero/")}


# --- what is committed ----------------------------------------------------------------------------------------


def test_no_committed_file_is_large():
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in committed()}
    assert {name: size for name, size in sizes.items() if size > 5 * MEGABYTE} == {}
    assert {name: size for name, size in sizes.items() if name.endswith(".ipynb") and size > MEGABYTE} == {}
    assert sum(size for name, size in sizes.items() if name.endswith(".safetensors")) < 25 * MEGABYTE


HOSTS = r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|anaconda\.(?:org|com)|registry\.npmjs|deb\.debian"
HOMES = r"/(?:home|root|Users)/[\w.-]|[A-Z]:\\\\?Users"


@pytest.mark.parametrize("pattern", [HOSTS, HOMES], ids=["host of a registry", "home of a user"])
def test_no_committed_file_names(pattern):
    found = [
        f"{name}: {match.group()}" for name, text in committed_texts() for match in re.finditer(pattern, text)
    ]
    assert found == []


LINK = re.compile(r"\[[^\]]*\]\((?!https?:|#|mailto:|attachment:|data:)([^)#\s]+)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", flags=re.S)


def documents():
    """Yield (path from the root, prose) of every committed document and notebook, code left out."""
    for name, text in committed_texts():
        if name.endswith(".ipynb"):
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        if name.endswith((".md", ".ipynb")):
            yield name, CODE.sub("", text)


def test_every_link_between_documents_leads_to_a_file():
    dead = [
        f"{name} -> {target}"
        for name, text in documents()
        for target in LINK.findall(text)
        if not (ROOT / name).parent.joinpath(target).exists()
    ]
    assert dead == []


def test_the_readme_calls_planned_exactly_the_lectures_that_are_not_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d\d) \|.*\| ([a-z]*) ?\|$", readme, flags=re.M))
    assert len(rows) == 14
    there = {path.name[:2] for path in committed() if path.match("notebooks/*.ipynb")}
    exercises = {path.name[:2] for path in committed() if path.match("exercises/*.ipynb")}
    assert {number for number, what in rows.items() if what != "planned"} == there
    assert {number for number, what in rows.items() if what == "exercise"} == exercises


def unpickling(source):
    """Yield the number and the text of each line that could load a pickle."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            bad = any(module.split(".")[0] in PICKLERS for module in modules)
        elif isinstance(node, ast.Call):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            called = ast.unparse(node.func)
            bad = keywords.get("allow_pickle", "False") != "False"
            bad |= called == "torch.load" and keywords.get("weights_only") != "True"
            bad |= called.endswith("read_pickle")
        else:
            continue
        if bad:
            yield f"{node.lineno}: {lines[node.lineno - 1].strip()}"


PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve"}


def test_the_library_never_unpickles():
    sources = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "zerohero").rglob("*.py"))}
    assert len(sources) > 20
    assert [f"{path.name}:{line}" for path, text in sources.items() for line in unpickling(text)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib as j",
        "np.load(f, allow_pickle=True)",
        "np.load(f, allow_pickle=flag)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "pandas.read_pickle(f)",
    ],
)
def test_the_search_for_unpickling_finds(source):
    assert list(unpickling(source)) == [f"1: {source}"]


def test_safe_loading_is_not_called_unpickling():
    assert list(unpickling("np.load(f, allow_pickle=False)\ntorch.load(f, weights_only=True)\nimport json")) == []
