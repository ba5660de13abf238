"""Import a plain file of `torch.save`: tensors and plain data only; no code of the file runs."""

import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from lstm.checkpoints.tensors import from_torch
from lstm.checkpoints.values import to_json
from storage.checkpoints.errors import CheckpointError, FileTrouble
from storage.checkpoints.format import canonical
from storage.checkpoints.tensor import Tensor

_COLOURS = re.compile("\x1b\\[[0-9;]*m")
"""What PyTorch paints its messages with."""


class NotWeights(CheckpointError):
    """A file that `torch.load(weights_only=True)` refuses, or that holds no state dict."""


def read_torch_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by dotted name, and the rest as `{"values": {name: typed JSON}}`; for `RunWriter.save`.

    The file is mapped, but for one that was written before PyTorch 1.6, which is read into memory.

    Raises:
        NotWeights, NotStorable, FileTrouble.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as error:
        raise FileTrouble(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a file may be bent in ways that fail anywhere in the unpickler
        why = _COLOURS.sub("", str(error).partition("\n")[0]) or type(error).__name__
        raise NotWeights(f"{path} is not a file of torch.save that holds weights only: {why}") from error
    if not isinstance(state, dict):
        raise NotWeights(f"{path} holds a {type(state).__name__}, not a state dict")
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    _flatten("", state, tensors, values)
    try:
        canonical.check_depth({"values": values}, "its plain data")
    except ValueError as error:
        raise NotWeights(f"{path}: {error}") from error
    return tensors, {"values": values} if values else {}


def _flatten(name: str, value: object, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    if name in tensors or name in values:
        raise NotWeights(
            f"two entries of the file are both called {name!r} once their names are joined by dots"
        )
    if isinstance(value, torch.Tensor):
        try:
            tensors[name] = from_torch(value)
        except ValueError as error:
            raise NotWeights(f"{name!r} of the file: {error}") from error
    elif isinstance(value, dict | list | tuple) and _holds_tensor(value):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            _flatten(f"{name}.{key}" if name else str(key), item, tensors, values)
    elif isinstance(value, dict) and not name:
        values.update({str(key): to_json(str(key), item) for key, item in value.items()})
    else:
        values[name] = to_json(name, value)


def _holds_tensor(value: object) -> bool:
    if isinstance(value, dict):
        return any(_holds_tensor(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_tensor(item) for item in value)
    return isinstance(value, torch.Tensor)
