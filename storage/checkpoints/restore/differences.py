"""Which tensors differ between two commits, and by how much; one tensor is held in memory at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.format.stored_tensor import StoredTensor
from storage.checkpoints.progress import Progress, silent
from storage.checkpoints.restore.complete import Choice, Complete
from storage.checkpoints.restore.measuring import measure, numbers
from storage.checkpoints.restore.reading import read_tensors
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
    """Largest absolute difference of numbers that are finite in both; exact for whole numbers."""
    relative: float | None = None
    """Root mean square of these differences ÷ that of the numbers before; None: these were all 0."""
    not_finite: int = 0
    """Numbers that differ and are NaN or infinite in either: the two figures above leave them out."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two commits, each with what was passed over for it, and all tensors of both, by name."""

    first: Complete
    second: Complete
    changes: tuple[Difference, ...]


class _Unreadable(Exception):
    def __init__(self, side: int, error: Damaged) -> None:
        super().__init__(str(error))
        self.side, self.error = side, error


def compare(
    shelf: Shelf, first: tuple[str, str], second: tuple[str, str], progress: Progress = silent
) -> Compared:
    """Compare two commits, each a run and an id, its first digits, a tag or "newest".

    Equal chunk ids are equal bytes, so only what changed is read; where that is damaged, "newest" falls back.

    Raises:
        RunMissing, CommitMissing, Damaged, TooLarge: one of them cannot be read.
    """
    sides = [Choice(shelf, run, wanted) for run, wanted in (first, second)]
    while True:
        found = [it.found for it in sides]
        try:
            return Compared(found[0], found[1], tuple(_differences(shelf, found, progress)))
        except _Unreadable as trouble:
            sides[trouble.side].pass_over(trouble.error)


def _differences(shelf: Shelf, found: Sequence[Complete], progress: Progress) -> Iterator[Difference]:
    first, second = (it.manifest for it in found)
    what = "comparing"
    to_read = sum(
        2 * it.nbytes for name, it in first.tensors.items() if _to_read(it, second.tensors.get(name))
    )
    done = 0
    for name in sorted(first.tensors.keys() | second.tensors.keys()):
        before, after = first.tensors.get(name), second.tensors.get(name)
        if before is None or after is None:
            yield Difference(name, "added" if before is None else "removed")
        elif _shape(before) != _shape(after):
            yield Difference(name, "reshaped")
        elif not _to_read(before, after):
            yield Difference(name, "same")
        else:
            progress(what, done, to_read)
            one, two = (_read(shelf, found, side, name) for side in (0, 1))
            yield _measured(name, one, two)
            done += one.nbytes + two.nbytes


def _to_read(before: StoredTensor, after: StoredTensor | None) -> bool:
    """Whether only a look at the numbers tells how they differ."""
    return after is not None and _shape(before) == _shape(after) and before.chunks != after.chunks


def _read(shelf: Shelf, found: Sequence[Complete], side: int, name: str) -> Tensor:
    try:
        return read_tensors(shelf.files, found[side].manifest, [name], name)[0][name]
    except Damaged as error:
        raise _Unreadable(side, error) from error


def _shape(tensor: StoredTensor) -> tuple[str, tuple[int, ...]]:
    return tensor.dtype, tensor.shape


def _measured(name: str, before: Tensor, after: Tensor) -> Difference:
    width = before.nbytes // max(1, int(np.prod(before.shape, dtype=np.int64)))
    bits = [np.frombuffer(it.data, np.uint8).reshape(-1, width) for it in (before, after)]
    differs = (bits[0] != bits[1]).any(axis=1)
    if not differs.any():  # cut into other chunks
        return Difference(name, "same")
    measured = measure(numbers(before).reshape(-1), numbers(after).reshape(-1), differs)
    return Difference(name, "changed", float(differs.mean()), *measured)
