"""Files that lie: small honest ones, changed in many ways and given to everything of the library that reads files.

    python -m tests.hostile_files --files 100000 --seed 0         all loaders, in processes of their own
    python -m tests.hostile_files --loader npz --only 1234        one case again, with its traceback

A case is a function of the seed, the loader's name and its number. What has to hold is told in `examine`.
"""

from __future__ import annotations

import argparse
import codecs
import copy
import gzip
import io
import json
import lzma
import mmap
import os
import random
import re
import resource
import signal
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import tracemalloc
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

import zerohero as zh
from zerohero import nn, optim, training, weights
from zerohero.checkpoints import write_arrays
from zerohero.checks import records
from zerohero.datasets import affnist, cifar10, smallnorb
from zerohero.datasets.files import XZ_MEMORY
from zerohero.datasets.idx import read_idx
from zerohero.grading import classes, exchange

OVERHEAD = 4 << 20      # bytes of memory that reading takes whatever the file: buffers, the objects of a small model
PATIENCE = 20           # seconds for one file
# What no file may bring about. A module that is imported for the first time has happened before: see `prepare`.
FORBIDDEN = ("exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen",
             "socket.connect", "pickle.find_class", "marshal.loads", "ctypes.dlopen", "shutil.rmtree")  # fmt: skip


# ---- mutations ------------------------------------------------------------------------------------------

EXTREMES = [0, 1, 127, 128, 255, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 10**12, 2**63 - 1, 2**63]
TOKENS = [b"\x80\x04", b"cos\nsystem\n(S'true'\ntR.", b"cbuiltins\neval\n(S'1'\ntR.", b"PK\x03\x04", b"PK\x05\x06",
          b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x93NUMPY", b"1000000000000", b"(", b"{", b"[" * 3000, b"\0" * 64, b"-1",
          b"\x1b[31m\n", b"O", b"|O8", b"NaN", b"../../x"]  # fmt: skip


def scrambled(data: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    """Bytes changed without knowing what they mean: one to four of ten ways."""
    content = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        size = len(content)
        # Half of the changes fall where headers are.
        at = dice.randrange(size + 1) if dice.random() < 0.5 else min(dice.randrange(200), size)
        way = dice.randrange(10)
        if way == 0 and size:
            content[at % size] ^= 1 << dice.randrange(8)
        elif way == 1:
            content[at : at + dice.choice((1, 1, 2, 4, 8))] = dice.randbytes(dice.choice((1, 2, 4, 8)))
        elif way == 2:
            del content[at:]
        elif way == 3:
            del content[at : at + dice.choice((1, 4, 16, 200))]
        elif way == 4:
            content[at:at] = dice.randbytes(dice.choice((1, 4, 16, 200)))
        elif way == 5:
            content[at:at] = content[at : at + dice.choice((4, 16, 200))]
        elif way in (6, 7):
            width = dice.choice((1, 2, 4, 8))
            number = dice.choice(EXTREMES) & (256**width - 1)
            content[at : at + width] = number.to_bytes(width, dice.choice(("little", "big")))
        elif way == 8:
            other = dice.choice(others)
            start = dice.randrange(len(other) + 1)
            content[at : at + dice.choice((0, 16, 500))] = other[start : start + dice.choice((16, 100, 2000))]
        else:
            content[at:at] = dice.choice(TOKENS)
    return bytes(content)


def strange_json(value: Any, dice: random.Random) -> bytes:
    """A JSON value changed in one to three places, as text."""
    deep = "a nest that json.dumps would not write"
    hostile = [0, -1, 1.5, 10**12, 2**63, 2**64, 10**400, float("nan"), float("inf"), None, True, "", "x" * 3000,
               [], {}, deep,
               "\x1b[31m\n\0", "../../x", [10**6] * 2, [2**32, 2**32], "I64", "F64", "BF16", "O", {"a": 1}]  # fmt: skip
    root = {"": value}
    for _ in range(dice.choice((1, 1, 2, 3))):
        holder: Any = root
        key: Any = ""
        while isinstance(holder[key], (dict, list)) and holder[key]:
            if dice.random() < 0.2:
                break
            holder = holder[key]
            key = dice.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        way = dice.random()
        if way < 0.7 or holder is root:
            old, new = holder[key], copy.deepcopy(dice.choice(hostile))
            near = isinstance(old, int) and not isinstance(old, bool) and dice.random() < 0.5
            holder[key] = old + dice.choice((-1, 1, 8)) if near else new
        elif way < 0.85 and isinstance(holder, dict):
            holder[dice.choice(("x", "", "weight", "x" * 3000, "\x1b[31m\n"))] = holder.pop(key)
        else:
            del holder[key]
    return json.dumps(root[""]).replace(f'"{deep}"', "[" * 5000 + "]" * 5000).encode()


def strange_safetensors(data: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    """Another header over the same numbers, of the right length; or text inside it changed, its checksum left out."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    text = header.get("__metadata__", {})
    inside = [name for name in ("facts", "options") if name in text]
    if inside and dice.random() < 0.5:
        text[inside[0]] = strange_json(json.loads(text[inside[0]]), dice).decode()
        text.pop("checksum", None)
        new = json.dumps(header).encode()
    else:
        new = strange_json(header, dice)
    return len(new).to_bytes(8, "little") + new + data[end:]


def strange_zip(data: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    """A zip archive in order, around a member that isn't, or that comes twice, or is packed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        members = old.infolist()
        chosen = dice.choice(members)
        for member in members:
            content = old.read(member)
            if member is chosen:
                content = _strange_member(content, dice, others)
            kind = dice.choice((member.compress_type, member.compress_type, *range(0, 15, 2)))
            kind = kind if kind in (0, 8, 12, 14) else member.compress_type
            for _ in range(2 if dice.random() < 0.05 else 1):
                new.writestr(member.filename, content, kind)
    return packed.getvalue()


def _strange_member(content: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    numbers = list(re.finditer(rb"\d+", content[:128]))
    if content.startswith(b"\x93NUMPY") and numbers and dice.random() < 0.7:  # an array's header
        found = dice.choice(numbers)
        return content[: found.start()] + str(dice.choice(EXTREMES)).encode() + content[found.end() :]
    return scrambled(content, dice, others)


def strange_mat(data: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    """What a packed element of a MATLAB file holds, changed and packed again."""
    if data[128] != 15:
        return scrambled(data, dice, others)
    element = zlib.compress(scrambled(zlib.decompress(data[136:]), dice, others))
    return data[:132] + len(element).to_bytes(4, "little") + element


def strange_packed(data: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    """What a gzip or xz file holds, changed and packed again, so that its checksums are right."""
    for start, packing in ((b"\x1f\x8b", gzip), (b"\xfd7z", lzma)):
        if data.startswith(start):
            return packing.compress(_summed(scrambled(packing.decompress(data), dice, others)))
    return scrambled(data, dice, others)


def _summed(data: bytes) -> bytes:
    """A tar archive whose first header has the right checksum; other bytes as they are."""
    if len(data) < 512 or data[257:262] != b"ustar":
        return data
    total = sum(data[:148]) + 8 * 32 + sum(data[156:512])
    return data[:148] + f"{total:06o}\0 ".encode() + data[156:]


# ---- what reads, and honest files for it ------------------------------------------------------------------


@dataclass(frozen=True)
class Loader:
    """Something that reads a file: honest files, how it is called, how they are changed from inside."""

    name: str
    honest: Callable[[], list[bytes]]
    read: Callable[[Path], Any]
    strange: Callable[[bytes, random.Random, list[bytes]], bytes] = scrambled
    named: str = ""  # what its errors name, if it isn't the file


class Pair(nn.Module):
    """The smallest model with parameters and a buffer."""

    def __init__(self) -> None:
        self.weight, self.bias = (zh.tensor.Parameter(np.ones(shape, np.float32)) for shape in ((2, 3), (2,)))
        self.register_buffer("mean", np.zeros(3, np.float32))


VALUES = {"weight": np.float32([[0, 1, 2], [3, 4, 5]]), "bias": np.ones(2), "mean": np.arange(3, dtype=np.int16)}


def into_a_model(path: Path) -> None:
    """Load weights; if they are refused, the model is as it was."""
    model = Pair()
    try:
        zh.load_weights(model, path)
    except BaseException:
        assert all((value == (name != "mean")).all() for name, value in model.state_dict().items()), "the model changed"
        raise


def written(write: Callable[[Path], Any], ending: str = "") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{ending}")
        write(path)
        return path.read_bytes()


def safetensors() -> list[bytes]:
    return [written(lambda path: write_arrays(path, VALUES, {"note": "honest"}), ".safetensors")]


def npz() -> list[bytes]:
    return [written(lambda path, save=save: save(path, **VALUES), ".npz") for save in (np.savez, np.savez_compressed)]


def torch_files(legacy: bool) -> list[bytes]:
    import torch

    state = {name: torch.tensor(value) for name, value in VALUES.items()}
    whole = {"epoch": 3, "state_dict": {name: value.to(torch.bfloat16) for name, value in state.items()}, "lr": [0.1]}
    return [written(partial(torch.save, value, _use_new_zipfile_serialization=not legacy)) for value in (state, whole)]


def model_files() -> list[bytes]:
    options = {"num_classes": 3, "image_size": 12}
    text = {"model": "lenet5", "options": json.dumps(options), "data": "digits"}
    model = zh.models.create("lenet5", **options)
    return [written(lambda path: zh.save_weights(model, path, dtype="float16", metadata=text), ".safetensors")]


def train(path: Path) -> None:
    """Go on from a checkpoint that has nothing left to do."""
    images, labels = np.ones((4, 1, 2, 2), np.float32), np.array([0, 1, 0, 1])
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    training.fit(model, (images, labels), validation=(images, labels), epochs=2, patience=2, batch_size=2,
                 optimizer=optimizer, checkpoint=path, progress=False)  # fmt: skip


def idx() -> list[bytes]:
    plain = struct.pack(">HBBIII", 0, 8, 3, 3, 4, 5) + bytes(range(60))
    other = struct.pack(">HBBI", 0, 13, 1, 9) + bytes(36)
    return [plain, other, gzip.compress(plain), lzma.compress(plain)]


def batches() -> list[bytes]:
    plain = b"".join(bytes([label]) + bytes(range(256)) * 12 for label in (3, 9))
    return [plain, gzip.compress(plain), lzma.compress(plain)]


def archives() -> list[bytes]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("a.bin", "b.bin"):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(batches()[0])
            archive.addfile(member, io.BytesIO(batches()[0]))
    return [packed.getvalue()]


def read_archive(path: Path) -> Any:
    return cifar10._from_archive(path, {"a.bin": None, "b.bin": None})


def matrices() -> list[bytes]:
    plain = struct.pack("<5i", 0x1E3D4C55, 2, 3, 4, 1) + bytes(12)
    other = struct.pack("<6i", 0x1E3D4C54, 4, 2, 1, 2, 1) + bytes(16)
    return [plain, other, gzip.compress(plain)]


def pairs() -> list[bytes]:
    parts = {"images": np.zeros((1, 2, 96, 96), np.uint8), "labels": np.array([4]), "meta": np.zeros((1, 4), np.int32)}
    return [written(lambda path: np.savez_compressed(path, **{f"train_{k}": v for k, v in parts.items()}), ".npz")]


def load_pairs(path: Path) -> Any:
    """smallNORB's stand-in, where `load` looks for it."""
    place = path.parent / "smallnorb"
    place.mkdir(exist_ok=True)
    os.replace(path, place / "smallnorb_12pairs.npz")
    os.environ["ZEROHERO_DATA"] = os.environ["ZEROHERO_CACHE"] = str(path.parent)
    return smallnorb.load("smallnorb", "train", prepared=True)


def mat_files() -> list[bytes]:
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    content = {"image": rng.integers(0, 256, (1600, 2), dtype=np.uint8), "label_int": np.array([[3.0, 1.0]]),
               "human_readable_transform": rng.random((6, 2)), "note": "text", "id": np.int32([[1, 2]])}  # fmt: skip
    return [written(lambda path, packed=packed: savemat(path, {"affNISTdata": content}, do_compression=packed), ".mat")
            for packed in (False, True)]  # fmt: skip


def outputs() -> list[bytes]:
    return [exchange.pack({**VALUES, "text": np.array(["a", "bc"])})]


def progress_files() -> list[bytes]:
    return [b'\n{"solved": "01.1", "at": "2026-01-02"}\n\n{"solved": "02.1", "at": "2026-01-03"}\n']


def read_progress(path: Path) -> None:
    os.environ["ZEROHERO_PROGRESS"] = str(path)
    records.solved()


def grade_files() -> list[bytes]:
    grade = {field.name: "x" for field in classes.fields(classes.Grade)} | {"key": "k"}
    return [json.dumps(grade).encode()]


def json_or_scrambled(data: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    return strange_json(json.loads(data.strip().splitlines()[0]), dice)


LOADERS = [
    Loader("safetensors", safetensors, into_a_model, strange_safetensors),
    Loader("npz", npz, into_a_model, strange_zip),
    Loader("pytorch zip", lambda: torch_files(False), into_a_model, strange_zip),
    Loader("pytorch legacy", lambda: torch_files(True), into_a_model),
    Loader("model file", model_files, weights.read, strange_safetensors),
    Loader("checkpoint", lambda: [written(train, ".safetensors")], train, strange_safetensors),
    Loader("idx", idx, read_idx, strange_packed),
    Loader("cifar batch", batches, cifar10.read_batch, strange_packed),
    Loader("cifar archive", archives, read_archive, strange_packed),
    Loader("smallnorb matrix", matrices, smallnorb.read_matrix, strange_packed),
    Loader("smallnorb pairs", pairs, load_pairs, strange_zip),
    Loader("affnist", mat_files, affnist.read_affnist, strange_mat),
    Loader("student's outputs", outputs, lambda path: exchange.unpack(path.read_bytes()), strange_zip, "the outputs"),
    Loader("progress", progress_files, read_progress, json_or_scrambled),
    Loader("grade", grade_files, lambda path: classes.recorded(path, "k"), json_or_scrambled),
]


# ---- a case -----------------------------------------------------------------------------------------------


@cache
def honest(loader: Loader) -> list[bytes]:
    return loader.honest()


@cache
def everything() -> list[bytes]:
    """Honest files of all kinds, to splice pieces of."""
    return [data for loader in LOADERS for data in honest(loader)]


def case(loader: Loader, number: int, seed: int) -> bytes:
    """A changed file; the first numbers are the honest ones."""
    files = honest(loader)
    if number < len(files):
        return files[number]
    dice = random.Random(f"{seed} {loader.name} {number}")
    change = loader.strange if dice.random() < 0.6 else scrambled
    return change(dice.choice(files), dice, everything() if dice.random() < 0.3 else files)


_events: list[str] | None = None


def _watch(event: str, arguments: tuple) -> None:
    if _events is not None and event in FORBIDDEN and not (event == "import" and arguments[0] in sys.modules):
        _events.append(f"{event} {arguments[0]!r:.60}")


def prepare(loader: Loader, folder: Path) -> None:
    """Read the honest files and broken ones, so that all modules are there; then everything is watched."""
    for encoding in ("cp437", "raw_unicode_escape"):  # of a zip archive's names, of a pickle's text
        codecs.lookup(encoding)
    for data in (*honest(loader), honest(loader)[0][:20], b"PK\x03\x04", b"\x1f\x8b", b""):
        (folder / "file.safetensors").write_bytes(data)
        try:
            loader.read(folder / "file.safetensors")
        except Exception:
            pass


@cache
def start_watching() -> None:
    sys.addaudithook(_watch)


def examine(loader: Loader, data: bytes, folder: Path, again: bool = True) -> str:
    """Read a file: "read", "refused", or a failure, which is told after a colon.

    A file is read, or refused by one sentence, a ValueError or an OSError that names it. Nothing runs, and no more
    memory is taken than twice what the file holds, and a little. Where reading began with the import of a module of
    this machine (PyTorch imports parts of itself when it first meets a kind of tensor), it is done once more.
    """
    global _events
    path = folder / "file.safetensors"
    path.write_bytes(data)
    honestly = max(len(data), *(len(each) for each in honest(loader)))
    if data[:2] in (b"\x1f\x8b", b"\xfd7", b"PK") or loader.name in ("affnist", "smallnorb pairs"):
        honestly = max(honestly, 40_000)  # what the honest ones unpack to
    tracemalloc.start()
    _events = []
    signal.alarm(PATIENCE)
    try:
        loader.read(path)
        outcome = "read"
    except (ValueError, OSError) as error:
        outcome = _refusal(error, loader, path)
    except Exception as error:
        outcome = f"failure: {type(error).__name__} {' '.join(str(error).split())[:150]}"
    finally:
        signal.alarm(0)
        events, _events = _events, None
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    if events and events[0].startswith("import ") and again:
        return examine(loader, data, folder, again=False)
    if events:
        return f"failure: it brought about {events[0]}"
    dictionary = XZ_MEMORY if data.startswith(b"\xfd7z") else 0  # which xz unpacks with
    if peak > 2 * honestly + OVERHEAD + dictionary:
        return f"failure: it took {peak:,} bytes of memory for {len(data):,}"
    return outcome


def _refusal(error: Exception, loader: Loader, path: Path) -> str:
    text = str(error)
    names = (loader.named,) if loader.named else (path.name, "smallnorb_12pairs.npz")
    if not any(name in text for name in names) or not text.isprintable() or len(text) > 1200:
        return f"failure: no sentence: {type(error).__name__} {text!r:.200}"
    if re.search(r"allocat|out of memory", text, re.IGNORECASE):
        return f"failure: it asked for memory before it looked: {text!r:.200}"
    return "refused"


# ---- many cases, in processes that may die ------------------------------------------------------------------


def run(loader: Loader, count: int, seed: int, chunk: int = 2000) -> tuple[Counter, list[str], int]:
    """Outcomes, failures and the growth of memory in bytes over `count` cases."""
    honest(loader), everything()
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    place, grown, number = mmap.mmap(-1, 8), 0, 0
    while number < count:
        reading, writing = os.pipe()
        stop = min(count, number + chunk)
        child = os.fork()
        if child == 0:
            os.close(reading)
            _work(loader, range(number, stop), seed, place, writing)
        os.close(writing)
        with open(reading, "rb") as answer:
            told = answer.read().decode(errors="replace").splitlines()
        status = os.waitpid(child, 0)[1]
        for line in told:
            kind, _, text = line.partition("\t")
            if kind == "grown":
                grown = max(grown, int(text))
            else:
                outcomes[kind] += 1
                failures += [text] if kind == "failure" else []
        number = stop
        if status != 0:
            number = int.from_bytes(place[:8], "little") + 1
            outcomes["failure"] += 1
            failures.append(f"case {number - 1}: the process died, status {status}")
    return outcomes, failures, grown


def _work(loader: Loader, numbers: range, seed: int, place: mmap.mmap, writing: int) -> None:
    """Examine cases and write what came of each; never returns."""
    warnings.simplefilter("error")
    with open(writing, "w", buffering=1) as answer, tempfile.TemporaryDirectory() as folder:
        prepare(loader, Path(folder))
        start_watching()
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        resource.setrlimit(resource.RLIMIT_AS, (mapped + (512 << 20),) * 2)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in numbers:
            place[:8] = number.to_bytes(8, "little")
            kind, _, text = examine(loader, case(loader, number, seed), Path(folder)).partition(": ")
            answer.write(f"{kind}\tcase {number}: {text}\n")
        answer.write(f"grown\t{(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024}\n")
    os._exit(0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loader", choices=[loader.name for loader in LOADERS])
    parser.add_argument("--only", type=int, help="this case alone")
    given = parser.parse_args()
    chosen = [loader for loader in LOADERS if given.loader in (None, loader.name)]
    if given.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "file.safetensors")
            path.write_bytes(case(chosen[0], given.only, given.seed))
            print(f"{path.stat().st_size} bytes: {path.read_bytes()[:300]!r}")
            try:
                print(f"read: {chosen[0].read(path)!r:.300}")
            except Exception:
                traceback.print_exc()
        return 0
    begun, total, wrong = time.perf_counter(), Counter(), 0
    print("loader                 files    read  refused  failures  seconds  MiB more", flush=True)
    for loader in chosen:
        count, start = -(-given.files // len(chosen)), time.perf_counter()
        outcomes, failures, grown = run(loader, count, given.seed)
        total += outcomes
        wrong += len(failures)
        print(f"{loader.name:<20}{sum(outcomes.values()):>8}{outcomes['read']:>8}{outcomes['refused']:>9}"
              f"{len(failures):>10}{time.perf_counter() - start:>9.0f}{grown / 2**20:>10.1f}", flush=True)
        for text in failures[:10]:
            print(f"    {text}", flush=True)
    print(f"{'in all':<20}{sum(total.values()):>8}{total['read']:>8}{total['refused']:>9}{wrong:>10}"
          f"{time.perf_counter() - begun:>9.0f}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
