"""Cut the rows of a snapshot into superblocks, and say which rows a block must hold to serve its windows.

A superblock is a row group, or a range of one where the table has few. A *block* is a superblock in memory:
for each part of it (its share of one segment) the rows of the part at which windows can start, then the halo,
the up to context + horizon - 1 rows of the segment that windows starting there reach into.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lstm.windows.index.segments import Segments, ranges, running
from lstm.windows.plan.dropped import cut_runs
from lstm.windows.spec import Split

_FEW = 4
"""A table of fewer than this many row groups per lane is cut into row ranges, so that every lane has work."""
_AT_ONCE = 1 << 17
"""Pieces whose parts are worked out in one go."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of some superblocks, one superblock after the other; those of one stand in physical order."""

    owner: NDArray[np.int64]
    """[p] place of its superblock among those asked for; ascending."""
    segment: NDArray[np.int64]
    first: NDArray[np.int64]
    """[p] first logical row."""
    rows: NDArray[np.int64]
    stored: NDArray[np.int64]
    """[p] rows in the block: halo included, 0 where no window can start."""
    offset: NDArray[np.int64]
    """[p] where in its block a part begins."""


@dataclass(frozen=True, slots=True)
class Superblocks:
    """All superblocks of a plan, whatever split windows belong to. Their parts are worked out when asked."""

    first: NDArray[np.int64]
    """[B + 1] first physical row of each superblock; then the number of rows."""
    segments: Segments
    window_rows: int
    dropped: NDArray[np.int64]
    """[d, 2] logical rows [first, end) at which no window starts, in order."""

    def __len__(self) -> int:
        return len(self.first) - 1

    def parts(
        self, superblocks: NDArray[np.integer], logical_first: NDArray[np.int64] | None = None
    ) -> Parts:
        """The parts of some superblocks. O(p log n).

        Args:
            superblocks: [k] their numbers.
            logical_first: what `Segments.logical_first` gives, if it is at hand.
        """
        segments = self.segments
        begins, ends = self.first[superblocks], self.first[np.asarray(superblocks) + 1]
        low = segments.physical_first.find(begins)
        touched = segments.physical_first.find(ends - 1) + 1 - low
        owner, piece = ranges(low, touched)
        rows = segments.pieces.rows[piece].astype(np.int64)
        piece_first = running(segments.physical_first.at(low), rows, touched)
        start = np.maximum(piece_first, begins[owner])
        rows = np.minimum(piece_first + rows, ends[owner]) - start
        if logical_first is None:
            logical_first = segments.kept_first
        if logical_first is None:
            first = segments.chained_first.at(segments.places_of(piece))
        else:
            first = logical_first[piece]
        first = first + start - piece_first
        segment = np.searchsorted(segments.first, first, side="right") - 1
        last_start = np.minimum(first + rows - 1, segments.first[segment + 1] - self.window_rows)
        stored = np.where(last_start >= first, last_start + self.window_rows - first, 0)
        return Parts(owner, segment, first, rows, stored, running(np.zeros_like(low), stored, touched))

    def all_parts(self) -> Iterator[tuple[NDArray[np.int64], Parts]]:
        """The parts of all superblocks, some superblocks at a time: their numbers, and their parts."""
        logical_first = self.segments.logical_first()
        edges = np.searchsorted(
            self.segments.physical_first.find(self.first[:-1]),
            np.arange(0, len(logical_first), _AT_ONCE),
        )
        for begin, end in pairwise([*np.unique(edges).tolist(), len(self)]):
            numbers = np.arange(begin, end)
            yield numbers, self.parts(numbers, logical_first)


def cut_superblocks(
    group_rows: NDArray[np.int64], lanes: int, most_rows: int | None = None
) -> NDArray[np.int64]:
    """[B + 1] first physical row of each superblock, then the number of rows.

    Each row group is cut into near-equal ranges of at most `most_rows` (None: it is one); with fewer than 4
    row groups per lane, of at most 1/(4·lanes) of all rows.
    """
    rows = group_rows[group_rows > 0]
    starts = np.cumsum(rows) - rows
    few = max(1, int(rows.sum()) // (_FEW * lanes)) if len(rows) < _FEW * lanes else None
    if most := min(filter(None, (few, most_rows)), default=None):
        pieces = -(-rows // most)
        number = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        starts = np.repeat(starts, pieces) + number * np.repeat(rows, pieces) // np.repeat(pieces, pieces)
    return np.append(starts, rows.sum())


@dataclass(frozen=True, slots=True)
class Runs:
    """Parts' shares of a split, [q] each: windows that start `stride` rows apart."""

    owner: NDArray[np.int64]
    """Place of the superblock among those asked for; ascending."""
    counts: NDArray[np.int64]
    """Windows, >= 1."""
    start: NDArray[np.int64]
    """Logical row at which the first window starts."""
    offset: NDArray[np.int64]
    """Where in its block that row is."""

    def some(self, places: NDArray[np.int64], edges: NDArray[np.int64]) -> "Runs":
        """The runs of some of the superblocks: those at `places` [k], which own the runs between `edges`."""
        owner, which = ranges(edges[places], edges[places + 1] - edges[places])
        return Runs(owner, self.counts[which], self.start[which], self.offset[which])


@dataclass(frozen=True, slots=True)
class SplitWindows:
    """The windows of one split, numbered in plan order: superblock by superblock, then by first row."""

    superblocks: NDArray[np.int64]
    """[S] superblocks that hold windows of the split; the order of an epoch numbers them from 0."""
    counts: NDArray[np.int64]
    """[S] windows of each."""
    first: NDArray[np.int64]
    """[S + 1] number of the first window of each; then the total."""
    layout: Superblocks
    ranges: tuple[NDArray[np.int64], NDArray[np.int64]]
    """First and last row of each segment at which a window may start, multiples of `stride`."""
    stride: int
    repeats: NDArray[np.int64] | None = None
    """[s] how often each window of a series counts; None: once."""

    @property
    def total(self) -> int:
        """How many windows."""
        return int(self.first[-1])

    def locate(
        self, numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Superblock, row in its block, and logical first row of windows given by number, [n] each."""
        which = np.searchsorted(self.first, numbers, side="right") - 1
        held, place = np.unique(which, return_inverse=True)
        runs = self.runs(self.layout.parts(self.superblocks[held]))
        times = self._times(runs)
        ends = np.cumsum(runs.counts * times)
        # numbers as they would be if there were no other superblocks
        close = numbers - self.first[which] + (np.cumsum(self.counts[held]) - self.counts[held])[place]
        run = np.searchsorted(ends, close, side="right")
        further = (close - (ends - runs.counts * times)[run]) // times[run] * self.stride
        return self.superblocks[which], runs.offset[run] + further, runs.start[run] + further

    def each(self, runs: Runs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All windows of some superblocks' runs, in their order.

        Returns:
            For each window [n] its run, and its rows after the run's first.
        """
        times = self._times(runs)
        counts = runs.counts * times
        run, further = ranges(np.zeros_like(counts), counts)
        if self.repeats is not None:
            further //= times[run]
        return run, further * self.stride

    def _times(self, runs: Runs) -> NDArray[np.int64]:
        """How often each window of some runs counts."""
        if self.repeats is None:
            return np.ones(len(runs.counts), np.int64)
        series, _ = self.layout.segments.within_series(runs.start)
        return self.repeats[series]

    def runs(self, parts: Parts) -> Runs:
        """The runs of some parts, counted in closed form."""
        return runs_of(parts, self.layout, self.ranges, self.stride)


def runs_of(
    parts: Parts, layout: Superblocks, ranges: tuple[NDArray[np.int64], NDArray[np.int64]], stride: int
) -> Runs:
    """Count a split's windows part by part.

    Args:
        parts: of some superblocks.
        layout: the superblocks.
        ranges: first and last row of each segment at which a window may start, multiples of `stride`.
        stride: rows between starts.
    """
    segment = parts.segment
    row = parts.first - layout.segments.first[segment]
    first = np.maximum(ranges[0][segment], -(-row // stride) * stride)
    last = np.minimum(ranges[1][segment], (row + parts.rows - 1) // stride * stride)
    counts = np.maximum((last - first) // stride + 1, 0)
    held = np.flatnonzero(counts)
    counts, further = counts[held], first[held] - row[held]
    if len(layout.dropped):
        of, skipped, counts = cut_runs(parts.first[held] + further, counts, stride, layout.dropped)
        held, further = held[of], further[of] + skipped * stride
    return Runs(parts.owner[held], counts, parts.first[held] + further, parts.offset[held] + further)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is kept of a look at every part: three numbers for each superblock."""

    block_rows: NDArray[np.int64]
    """[B] rows of each block."""
    counts: Mapping[Split, NDArray[np.int64]]
    """[B] windows of each superblock, by split."""


def survey(
    superblocks: Superblocks, starts: Mapping[Split, tuple[NDArray[np.int64], NDArray[np.int64]]], stride: int
) -> Survey:
    """Look at every part once. `starts` are the `ranges` of each split, as `runs_of` takes them."""
    block_rows = np.zeros(len(superblocks), np.int64)
    counts = {split: np.zeros(len(superblocks), np.int64) for split in starts}
    for numbers, parts in superblocks.all_parts():
        block_rows[numbers] = _added(parts.owner, parts.stored, len(numbers))
        for split, bounds in starts.items():
            runs = runs_of(parts, superblocks, bounds, stride)
            counts[split][numbers] = _added(runs.owner, runs.counts, len(numbers))
    return Survey(block_rows, counts)


def windows_of(
    superblocks: Superblocks,
    counts: NDArray[np.int64],
    starts: tuple[NDArray[np.int64], NDArray[np.int64]],
    stride: int,
    repeats: NDArray[np.int64] | None = None,
) -> SplitWindows:
    """A split's windows, given how many each superblock has, repeats counted."""
    held = np.flatnonzero(counts)
    first = np.concatenate([[0], np.cumsum(counts[held])])
    return SplitWindows(held, counts[held], first, superblocks, starts, stride, repeats)


def _added(owner: NDArray[np.int64], values: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """[count] sums of the values of each owner; owners ascend."""
    sums = np.concatenate([[0], np.cumsum(values)])
    return np.diff(sums[np.searchsorted(owner, np.arange(count + 1))])
