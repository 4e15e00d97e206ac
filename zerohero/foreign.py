"""Weights in the files of others, by name: NumPy's .npz and PyTorch's checkpoints, read as numbers and never run."""

from __future__ import annotations

import importlib.util
import io
import os
import pickletools  # which reads what a pickle says, and does nothing of it
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zerohero.arguments import listed, reason
from zerohero.npz import read_npz

# how the two forms of PyTorch's files begin: a zip archive, and (before 2020) a pickle of a magic number
ZIP, LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\x0a"
# where training scripts put the weights beside other things, and what wrappers put before every name
HOLDERS = ("state_dict", "model_state_dict", "model", "net", "weights")
PREFIXES = ("module.", "_orig_mod.")


def read_foreign(path: str | os.PathLike) -> dict[str, np.ndarray] | None:
    """The named arrays of an .npz file or of a PyTorch checkpoint; None if the file is neither.

    A checkpoint is read by PyTorch itself with `weights_only=True`, which builds tensors and refuses everything else.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of str to array, or None

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If it is a PyTorch checkpoint and PyTorch isn't installed.
    ValueError
        If it is damaged, or holds anything but numbers.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/w.npz", bias=np.ones(2, np.float32))
    ...     read_foreign(f"{folder}/w.npz")
    {'bias': array([1., 1.], dtype=float32)}
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"load: there is no file {str(path)!r}")
    with source.open("rb") as file:
        head = file.read(4)
    if head == LEGACY or (head == ZIP and _holds_a_checkpoint(source)):
        return _tensors(source)
    return read_npz(source) if head == ZIP else None


def without_prefix(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The same arrays without what a wrapper (DataParallel, torch.compile) put before every name.

    Examples
    --------
    >>> without_prefix({"module.fc.weight": 1, "module.fc.bias": 2})
    {'fc.weight': 1, 'fc.bias': 2}
    """
    for prefix in PREFIXES:
        if arrays and all(name.startswith(prefix) for name in arrays):
            return without_prefix({name.removeprefix(prefix): value for name, value in arrays.items()})
    return dict(arrays)


def _holds_a_checkpoint(source: Path) -> bool:
    """Whether a zip archive is PyTorch's, which packs nothing: what unpacks to more than the file is refused."""
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            if not any(member.filename.endswith("/data.pkl") for member in members):
                return False
            if (claimed := sum(member.file_size for member in members)) > source.stat().st_size:
                raise ValueError(f"its parts claim {claimed:,} bytes, more than the file has")
            return True
    except Exception as error:  # zipfile raises nearly anything
        raise ValueError(f"load: {str(source)!r} is damaged: {reason(error)}") from None


def _tensors(source: Path) -> dict[str, np.ndarray]:
    if importlib.util.find_spec("torch") is None:
        raise ImportError(
            f"load: {str(source)!r} is a PyTorch checkpoint, which needs PyTorch to be read: "
            "pip install 'zerohero[torch]' (or, where it is installed, save the weights with "
            "safetensors.torch.save_file)"
        )
    import torch

    try:
        with _Within(source.open("rb", buffering=0)) as file:  # opened here: PyTorch would go by the file's name
            if file.peek(4).startswith(LEGACY):
                _check_claims(file, file.size)
                file.seek(0)
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises nearly anything
        raise ValueError(
            f"load: {str(source)!r} is damaged, or holds more than numbers, which would run and is refused: "
            f"{reason(error)}"
        ) from None
    state = _state(loaded, source, torch.Tensor)
    try:
        return {str(name): _array(tensor, source.stat().st_size) for name, tensor in state.items()}
    except Exception as error:
        raise ValueError(f"load: {str(source)!r} holds a tensor that is no array of numbers: {reason(error)}") from None


class _Within(io.BufferedReader):
    """A file that takes memory for no more than is left of it: what is asked for is what the file claims."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.size = os.fstat(file.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self.size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def _check_claims(file: Any, most: int) -> None:
    """Look at what the pickles of the older form claim, without doing what they say.

    PyTorch takes the memory for an array's numbers, the last integer before it is named, before it reads them.
    """
    for _ in range(4):  # a magic number, a version, the sizes of this and that, the arrays
        claimed = 0
        for code, argument, _ in pickletools.genops(file):
            if code.name in ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"):
                claimed = argument or 0
            elif code.name == "BINPERSID" and claimed > most:
                raise ValueError(f"an array claims {claimed:,} numbers in {most:,} bytes")


def _array(tensor: Any, most: int) -> np.ndarray:
    """A tensor of at most so many bytes: one number can be made to look like any shape."""
    tensor = tensor.detach()
    if tensor.numel() * tensor.element_size() > most:
        raise ValueError(f"shape {tuple(tensor.shape)} is more than the file's {most:,} bytes")
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()  # NumPy has no bfloat16


def _state(loaded: Any, source: Path, tensor: type) -> Mapping[str, Any]:
    """The weights in what a file held: itself, or what lies under one of the usual names."""
    candidates = [loaded, *(loaded[name] for name in HOLDERS if name in loaded)] if isinstance(loaded, Mapping) else []
    for each in candidates:
        if isinstance(each, Mapping) and each and all(isinstance(value, tensor) for value in each.values()):
            return each
    kind = f"has {listed(loaded) or 'nothing'}" if isinstance(loaded, Mapping) else f"is a {type(loaded).__name__}"
    raise ValueError(
        f"load: {str(source)!r} needs to hold tensors by name, by themselves or as one of {', '.join(HOLDERS)}, but "
        f"it {kind}"
    )
