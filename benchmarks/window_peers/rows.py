"""The rows that every peer cuts into windows, the bare loop that all are compared with, and the proof."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

CONTEXT, HORIZON, FEATURES, BATCH = 96, 24, 7, 256
LENGTH = CONTEXT + HORIZON
COLUMNS = [f"x{number}" for number in range(FEATURES)]


@dataclass(frozen=True)
class Rows:
    """Series of equal length."""

    values: NDArray[np.float32]
    """[series, rows, F]"""
    stride: int = 1

    @property
    def starts(self) -> NDArray[np.int64]:
        """First rows of all windows, as rows of all series end to end."""
        series, rows, _ = self.values.shape
        within = np.arange(0, rows - LENGTH + 1, self.stride)
        starts: NDArray[np.int64] = (np.arange(series)[:, None] * rows + within).reshape(-1)
        return starts


def as_it_is(batch: Any) -> Any:
    """For what is to be done to a batch."""
    return batch


@dataclass(frozen=True)
class Loader:
    """A library's way to all windows, over and over."""

    batches: Callable[[], Iterator[Any]]
    """Begins a pass over batches as the library gives them; what it prepares once is prepared before."""
    whole: Callable[[Any], NDArray[np.float32] | torch.Tensor] = as_it_is
    """[b, LENGTH, FEATURES] of a batch. For the proof alone: libraries need not put parts together."""
    surplus: int = 0
    """Windows of a pass's last batch that begin the next pass."""
    drawn: bool = False
    """Whether windows are drawn at random: then a pass takes as many, but not each once."""

    def windows(self) -> Iterator[NDArray[np.float32] | torch.Tensor]:
        """One pass, put together."""
        *batches, last = map(self.whole, self.batches())
        yield from batches
        yield last[: len(last) - self.surplus]


def past_and_future(batch: Any) -> torch.Tensor:
    """Of batches that are such a pair."""
    return torch.cat([torch.as_tensor(part) for part in batch], dim=1)


def make_rows(series: int, rows: int, stride: int = 1) -> Rows:
    """Random rows, the same each time."""
    return Rows(np.random.default_rng(0).standard_normal((series, rows, FEATURES), dtype=np.float32), stride)


def bare(rows: Rows, seed: int) -> Iterator[torch.Tensor]:
    """Shuffled batches out of memory, in the fewest lines: what any stream is measured against."""
    flat = rows.values.reshape(-1, FEATURES)
    shape = (len(flat) - LENGTH + 1, LENGTH, FEATURES)
    view = as_strided(flat, shape, (flat.strides[0], *flat.strides), writeable=False)
    order = np.random.default_rng(seed).permutation(rows.starts)
    for first in range(0, len(order), BATCH):
        yield torch.from_numpy(view[order[first : first + BATCH]])


def proof(batches: Iterable[NDArray[np.float32] | torch.Tensor]) -> tuple[int, int]:
    """How many windows there were, and a sum that any other multiset of windows would change."""
    weights = np.random.default_rng(1).integers(2**64, size=LENGTH * FEATURES, dtype=np.uint64) | np.uint64(1)
    count, total = 0, 0
    for batch in batches:
        bits = np.ascontiguousarray(batch, np.float32).reshape(len(batch), -1).view(np.uint32)
        mixed = (bits.astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        total += int((mixed ^ (mixed >> np.uint64(27))).sum(dtype=np.uint64))
        count += len(batch)
    return count, total % 2**64
