"""Arrays in files: weights and checkpoints as safetensors, written so that a kill at any moment loses nothing.

A checkpoint carries a checksum, and the one before it is kept until the new one is whole and in its place.
Nothing here unpickles: safetensors files hold numbers and text only. The files of others are read in foreign.py.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zerohero.arguments import reason, shown
from zerohero.nn.module import Module
from zerohero.tensor import move


def save_weights(
    model: Module, path: str | os.PathLike, *, dtype: str | None = None, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a model's parameters and buffers to a safetensors file.

    Parameters
    ----------
    model : Module
    path : path ending in .safetensors
    dtype : "float16" or "float32", optional
        The type in the file; by default that of the model. float16 halves the file and keeps about 3 digits.
    metadata : mapping of str to str, optional
        Text kept in the file's header.

    Returns
    -------
    Path
        Where it was written. The file is complete or as it was before, never half written.

    Examples
    --------
    >>> import tempfile, zerohero as zh
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_weights(zh.models.create("lenet5"), f"{folder}/lenet5.safetensors", dtype="float16")
    ...     load_weights(zh.models.create("lenet5"), path)
    """
    if dtype not in (None, "float16", "float32"):
        raise ValueError(f"save_weights: dtype needs to be 'float16' or 'float32', but got {dtype!r}")
    arrays = {name: np.asarray(move(value, "numpy"), dtype=dtype) for name, value in model.state_dict().items()}
    return write_arrays(path, arrays, metadata or {})


def load_weights(
    model: Module, path: str | os.PathLike, *, strict: bool = True, rename: Callable[[str], str] | None = None
) -> None:
    """Read weights into a model: from a safetensors or .npz file, or a PyTorch checkpoint (.pth, .pt).

    What the file is shows in its first bytes, not in its name. Nothing in it is run: a checkpoint is read by PyTorch
    with `weights_only=True`, and only if PyTorch is installed. "module." before every name is taken off, unless the
    model itself has such names.

    Parameters
    ----------
    model : Module
    path : path
    strict : bool
        False lets names be missing or unexpected.
    rename : callable, optional
        From a name in the model to the name in the file, where they differ.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If it is a PyTorch checkpoint and PyTorch isn't installed.
    ValueError
        If it is damaged, holds anything but numbers, or does not fit the model, with the names that are missing,
        unexpected or misshapen (without `strict`: if it has none of the model's names); the model stays as it was.

    Examples
    --------
    >>> import tempfile
    >>> from zerohero import nn
    >>> layer = nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/w.npz", W=[[1.0, 2.0]], b=[3.0])
    ...     load_weights(layer, f"{folder}/w.npz", rename=lambda name: {"weight": "W", "bias": "b"}[name])
    >>> layer([[1.0, 1.0]]).data
    array([[6.]], dtype=float32)
    """
    from zerohero.foreign import read_foreign, without_prefix

    if not isinstance(model, Module):
        raise TypeError(f"load_weights: model needs to be a Module, but got {shown(model)}")
    found = read_foreign(path)
    arrays, own = read_arrays(path)[0] if found is None else found, model.state_dict()
    if not arrays.keys() & own.keys():
        arrays = without_prefix(arrays)
    if rename is not None:  # then only the new names count: "weight" in the file needn't be the model's
        here = {rename(name): name for name in own}
        arrays = {here.get(name, f"{name} (in the file)" if name in own else name): a for name, a in arrays.items()}
    try:
        model.load_state_dict(arrays, strict=strict)
    except ValueError as error:
        raise ValueError(f"load: {str(path)!r} holds other weights: {error}") from None


def weights_path(path: str | os.PathLike) -> Path:
    """`path`, if a safetensors file can be written there.

    Examples
    --------
    >>> weights_path("lenet.safetensors").name
    'lenet.safetensors'
    """
    target = Path(path)
    if target.suffix != ".safetensors" or target.is_dir():
        raise ValueError(f"save: path needs to be a file that ends in .safetensors, but got {str(path)!r}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"save: the folder {str(target.parent)!r} does not exist; make it first")
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(f"save: the folder {str(target.parent)!r} can't be written to; choose another one")
    return target


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> Path:
    """Write named arrays and text to a safetensors file, in one piece or not at all.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_arrays(f"{folder}/two.safetensors", {"x": np.zeros(2)}, {"made": "here"})
    ...     arrays, text = read_arrays(path)
    >>> arrays["x"].shape, text["made"]
    ((2,), 'here')
    """
    from safetensors.numpy import save

    target = weights_path(path)
    contents = save({name: np.asarray(a, order="C") for name, a in arrays.items()}, metadata=dict(metadata) or None)
    contents = _in_order(contents)
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            try:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                os.replace(file.name, target)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file.name)
                raise
    except OSError as error:
        failed = OSError(
            f"save: {str(path)!r} could not be written ({error.strerror or error}), and what was there is as it was; "
            f"its {len(contents):,} bytes need a place on the disk, or another folder"
        )
        failed.errno = error.errno
        raise failed from error
    return target


def _in_order(contents: bytes) -> bytes:
    """The same file with its text sorted by name, which safetensors shuffles: the same weights are the same bytes."""
    end = 8 + int.from_bytes(contents[:8], "little")  # the header's length, the header, the numbers
    header = json.loads(contents[8:end])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # numbers start at a multiple of 8
    return len(text).to_bytes(8, "little") + text + contents[end:]


def read_arrays(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The named arrays and the text of a safetensors file.

    Examples
    --------
    >>> read_arrays("not-there.safetensors")
    Traceback (most recent call last):
        ...
    FileNotFoundError: ...
    """
    from safetensors import SafetensorError, safe_open

    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"load: there is no file {str(path)!r}")
    try:
        with safe_open(source, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (SafetensorError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"load: {str(path)!r} is damaged or no safetensors file with NumPy types: {reason(error)}"
        ) from None


# ---- checkpoints of a training --------------------------------------------------------------------------


def checkpoint_path(path: str | os.PathLike) -> Path:
    """`path`, if a checkpoint can be written there; its folder is made if need be.

    Examples
    --------
    >>> checkpoint_path("run.safetensors").name
    'run.safetensors'
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return weights_path(path)


def forget_unfinished(path: str | os.PathLike) -> None:
    """Delete what writes of this checkpoint left behind that were killed; nobody may be writing it now.

    Examples
    --------
    >>> forget_unfinished("not-there.safetensors")
    """
    target = Path(path)
    for left in target.parent.glob(f".{glob.escape(target.name)}.*"):
        with contextlib.suppress(OSError):
            left.unlink()


def save_checkpoint(path: str | os.PathLike, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint; the one before it, if it is whole, is kept beside it as `….previous.safetensors`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/run.safetensors", {"x": np.zeros(2)}, {"epoch": 3})
    ...     arrays, facts = load_checkpoint(f"{folder}/run.safetensors")
    >>> facts["epoch"]
    3
    """
    target = checkpoint_path(path)
    if _is_whole(target):
        with contextlib.suppress(FileNotFoundError):
            previous_of(target).unlink()
        try:
            os.link(target, previous_of(target))  # both names exist until the new file takes over the first
        except OSError:  # some file systems know no second names
            shutil.copyfile(target, previous_of(target))
    told = json.dumps(facts)
    write_arrays(target, arrays, {"facts": told, "checksum": _checksum(arrays, told)})


def load_checkpoint(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The newest complete checkpoint at `path`, or None if there is none.

    Raises
    ------
    ValueError
        If there is a file, but neither it nor the one before it can be read.

    Examples
    --------
    >>> load_checkpoint("not-there.safetensors") is None
    True
    """
    damage: Exception | None = None
    for candidate in (Path(path), previous_of(Path(path))):
        if not candidate.exists():
            continue
        try:
            return _read_checkpoint(candidate)
        except ValueError as error:
            damage = damage or error
    if damage is not None:
        raise ValueError(f"load_checkpoint: {str(path)!r} and the one before it cannot be read: {damage}")
    return None


def _read_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays, text = read_arrays(path)
    if "facts" not in text:
        raise ValueError(f"{str(path)!r} holds arrays, but is no checkpoint of a training")
    if text.get("checksum", "none") not in ("none", _checksum(arrays, text["facts"])):  # older ones have none
        raise ValueError(f"{str(path)!r} is damaged: its numbers don't have the checksum that was written with them")
    try:
        return arrays, json.loads(text["facts"])
    except RecursionError:
        raise ValueError(f"{str(path)!r} is damaged: its facts are nested without end") from None


def _is_whole(path: Path) -> bool:
    try:
        return path.exists() and bool(_read_checkpoint(path))
    except ValueError:
        return False


def _checksum(arrays: Mapping[str, Any], told: str) -> str:
    """CRC-32 of everything that a checkpoint says: names, types, shapes, numbers, facts."""
    total = zlib.crc32(told.encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        total = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(errors="surrogatepass"), total)
        total = zlib.crc32(array.reshape(-1).view(np.uint8).data, total)
    return f"{total:08x}"


def previous_of(path: Path) -> Path:
    """Where the checkpoint before `path` is kept.

    Examples
    --------
    >>> previous_of(Path("run.safetensors")).name
    'run.previous.safetensors'
    """
    return path.with_name(f"{path.stem}.previous{path.suffix}")
