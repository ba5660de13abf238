"""Which tensors differ between two commits, and by how much; one tensor is held in memory at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from storage.checkpoints.manifest import Manifest
from storage.checkpoints.reading import read_tensors
from storage.checkpoints.store import Below
from storage.checkpoints.stored_tensor import StoredTensor
from storage.checkpoints.tensor import Tensor

Change = Literal["added", "removed", "reshaped", "changed", "same"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One tensor of either commit."""

    tensor: str
    change: Change
    changed: float | None = None
    """Share of its numbers whose bits differ."""
    largest: float | None = None
    """Largest absolute difference; infinite where one is, not a number where neither can be told."""
    relative: float | None = None
    """Root mean square of the differences ÷ that of the numbers before."""


def differences(files: Below, first: Manifest, second: Manifest) -> Iterator[Difference]:
    """All tensors of both, by name. Equal chunk ids are equal bytes, so only what changed is read."""
    for name in sorted(first.tensors.keys() | second.tensors.keys()):
        before, after = first.tensors.get(name), second.tensors.get(name)
        if before is None or after is None:
            yield Difference(name, "added" if before is None else "removed")
        elif before.chunks == after.chunks and _shape(before) == _shape(after):
            yield Difference(name, "same")
        elif _shape(before) != _shape(after):
            yield Difference(name, "reshaped")
        else:
            one, two = (read_tensors(files, it, [name], name)[0][name] for it in (first, second))
            yield _measured(name, one, two)


def _shape(tensor: StoredTensor) -> tuple[str, tuple[int, ...]]:
    return tensor.dtype, tensor.shape


def _measured(name: str, before: Tensor, after: Tensor) -> Difference:
    width = before.nbytes // max(1, int(np.prod(before.shape, dtype=np.int64)))
    bytes_before, bytes_after = (
        np.frombuffer(it.data, np.uint8).reshape(-1, width) for it in (before, after)
    )
    changed = float((bytes_before != bytes_after).any(axis=1).mean())
    if before.dtype.startswith(("float8", "complex")):
        return Difference(name, "changed", changed)
    old, new = _values(before), _values(after)
    with np.errstate(all="ignore"):
        delta = new - old
        size = float(np.sqrt(np.mean(old * old)))
        relative = float(np.sqrt(np.mean(delta * delta))) / size if size else None
        return Difference(name, "changed", changed, float(np.abs(delta).max()), relative)


def _values(tensor: Tensor) -> NDArray[np.float64]:
    if tensor.dtype == "bfloat16":
        bits = np.frombuffer(tensor.data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).astype(np.float64)
    return tensor.to_numpy().astype(np.float64)
