"""Tracks for truncated backpropagation through time: which stretch of which series each track walks through.

A *stretch* is a run of windows of one segment, `stride` rows apart; long ones are cut into near-equal parts.
Stretches, numbered in plan order and permuted by the key [seed, e], go one by one to the track with the
fewest windows so far (ties: the lowest), as superblocks go to lanes. Batch k of an epoch holds window k of
every track that has one, so batches end with the longest track, and each window comes once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.permute import permutation
from lstm.windows.order.order import deal
from lstm.windows.plan.dropped import cut_runs
from lstm.windows.plan.plan import Plan
from lstm.windows.spec import Split

_PER_TRACK = 4
"""Stretches that a track gets at least, where long series are cut: tracks then end at about the same time."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """Stretches of a split in plan order, [n] each."""

    start: NDArray[np.int64]
    """Logical row of the first window."""
    windows: NDArray[np.int64]
    """How many, >= 1."""
    stride: int

    @classmethod
    def of(cls, plan: Plan, split: Split, tracks: int) -> "Stretches":
        """All windows of a split; stretches are cut so that `tracks` of them have about as many each."""
        first, last = plan.start_ranges(split)
        stride = plan.window.stride
        counts = np.maximum((last - first) // stride + 1, 0)
        held = np.flatnonzero(counts)
        start, counts = plan.segments.first[held] + first[held], counts[held]
        if len(plan.nulls.dropped):
            of, skipped, counts = cut_runs(start, counts, stride, plan.nulls.dropped)
            start = start[of] + skipped * stride
        most = max(1, -(-int(counts.sum()) // (_PER_TRACK * tracks)))
        pieces = -(-counts // most)
        owner = np.repeat(np.arange(len(counts)), pieces)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        begin = number * counts[owner] // pieces[owner]
        end = (number + 1) * counts[owner] // pieces[owner]
        return cls(start[owner] + begin * stride, end - begin, stride)


class TrackOrder:
    """One epoch of tracks."""

    def __init__(self, stretches: Stretches, *, tracks: int, seed: int, epoch: int) -> None:
        """Lay it out: O(n log tracks) for n stretches."""
        order = permutation([seed, epoch], len(stretches.start))
        track = deal(stretches.windows[order], tracks)
        self._stretch = order[np.argsort(track, kind="stable")]
        counts = np.bincount(track, minlength=tracks)
        self._first = np.concatenate([[0], np.cumsum(counts)])
        """Of each track among the stretches, track by track."""
        self._before = np.concatenate([[0], np.cumsum(stretches.windows[self._stretch])])
        self._stretches = stretches
        self.windows: NDArray[np.int64] = np.diff(self._before[self._first])
        """[tracks] windows of each track."""

    @property
    def batches(self) -> int:
        """Windows of the longest track."""
        return int(self.windows.max())

    def at(
        self, tracks: NDArray[np.int64], index: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Window `index` of some tracks, [k] each: its first logical row, and whether it begins a stretch."""
        number = self._before[self._first[tracks]] + index
        place = np.searchsorted(self._before, number, side="right") - 1
        within = number - self._before[place]
        return self._stretches.start[self._stretch[place]] + within * self._stretches.stride, within == 0
