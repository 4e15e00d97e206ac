"""Weights in the files of others, by name: NumPy's .npz and PyTorch's checkpoints, read as numbers and never run."""

from __future__ import annotations

import importlib.util
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

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
    return _npz(source) if head == ZIP else None


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
    try:
        with zipfile.ZipFile(source) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except zipfile.BadZipFile as error:
        raise ValueError(f"load: {str(source)!r} is damaged: {error}") from None


def _npz(source: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(source, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"load: {str(source)!r} is damaged or no .npz file of plain arrays: {error}") from None
    strange = [name for name, array in arrays.items() if not _is_numbers(array)]
    if strange or not arrays:
        what = f"{strange[0]!r} holds no numbers" if strange else "it is empty"
        raise ValueError(f"load: {str(source)!r} is no .npz file of plain arrays: {what}")
    return arrays


def _is_numbers(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "biuf"


def _tensors(source: Path) -> dict[str, np.ndarray]:
    if importlib.util.find_spec("torch") is None:
        raise ImportError(
            f"load: {str(source)!r} is a PyTorch checkpoint, which needs PyTorch to be read: "
            "pip install 'zerohero[torch]' (or, where it is installed, save the weights with "
            "safetensors.torch.save_file)"
        )
    import torch

    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises nearly anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"load: {str(source)!r} is damaged, or holds more than numbers, which would run and is refused: {reason}"
        ) from None
    return {name: _array(tensor) for name, tensor in _state(loaded, source, torch.Tensor).items()}


def _array(tensor: Any) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()  # NumPy has no bfloat16


def _state(loaded: Any, source: Path, tensor: type) -> Mapping[str, Any]:
    """The weights in what a file held: itself, or what lies under one of the usual names."""
    candidates = [loaded, *(loaded[name] for name in HOLDERS if name in loaded)] if isinstance(loaded, Mapping) else []
    for each in candidates:
        if isinstance(each, Mapping) and each and all(isinstance(value, tensor) for value in each.values()):
            return each
    kind = f"has {', '.join(map(str, loaded))}" if isinstance(loaded, Mapping) else f"is a {type(loaded).__name__}"
    raise ValueError(
        f"load: {str(source)!r} needs to hold tensors by name, by themselves or as one of {', '.join(HOLDERS)}, but "
        f"it {kind}"
    )
