"""Cut the rows of a snapshot into superblocks, and say which rows a block must hold to serve its windows.

A superblock is a row group, or a range of one where the table has few. A *block* is a superblock in memory:
for each part of it (its share of one segment) the rows of the part at which windows can start, then the halo,
the up to context + horizon - 1 rows of the segment that windows starting there reach into.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows.segments import Segments

_FEW = 4
"""A table of fewer than this many row groups per lane is cut into row ranges, so that every lane has work."""


@dataclass(frozen=True, slots=True)
class Superblocks:
    """All superblocks of a plan and their parts, whatever split windows belong to."""

    first: NDArray[np.int64]
    """[B + 1] first physical row of each superblock; then the number of rows."""
    part_superblock: NDArray[np.int32]
    """[p parts] ascending; the parts of a superblock stand in physical order."""
    part_segment: NDArray[np.integer]
    part_first: NDArray[np.int64]
    """[p] first logical row."""
    part_rows: NDArray[np.int64]
    part_stored: NDArray[np.int64]
    """[p] rows in the block: halo included, 0 where no window can start."""
    part_offset: NDArray[np.int64]
    """[p] where in its block a part begins."""
    block_rows: NDArray[np.int64]
    """[B] rows of each block."""
    part_bounds: NDArray[np.int64]
    """[B + 1] first part of each superblock; then the number of parts."""

    def __len__(self) -> int:
        return len(self.block_rows)


def cut_superblocks(group_rows: NDArray[np.int64], lanes: int) -> NDArray[np.int64]:
    """[B + 1] first physical row of each superblock, then the number of rows.

    With fewer than 4 row groups per lane, each is cut into near-equal ranges of at most 1/(4·lanes) of all
    rows.
    """
    rows = group_rows[group_rows > 0]
    starts = np.cumsum(rows) - rows
    if len(rows) < _FEW * lanes:
        most = max(1, int(rows.sum()) // (_FEW * lanes))
        pieces = -(-rows // most)
        number = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        starts = np.repeat(starts, pieces) + number * np.repeat(rows, pieces) // np.repeat(pieces, pieces)
    return np.append(starts, rows.sum())


def lay_out(first: NDArray[np.int64], segments: Segments, window_rows: int) -> Superblocks:
    """Split superblocks into parts. O((pieces + superblocks) log)."""
    physical = _merged(segments.physical_first, first)
    part_physical, part_rows = physical[:-1], np.diff(physical)
    place, within = segments.places(), np.zeros(1, np.int64)
    if len(physical) > len(segments.physical_first):  # else every part is a piece, as in all large tables
        piece = np.searchsorted(segments.physical_first, part_physical, side="right") - 1
        place, within = place[piece], part_physical - segments.physical_first[piece]
        del piece
    part_first = segments.chained_first[place] + within
    segment = segments.of_chained()[place]
    del place, within
    bounds = np.searchsorted(part_physical, first)
    superblock = np.repeat(np.arange(len(first) - 1, dtype=np.int32), np.diff(bounds))
    last_start = np.minimum(part_first + part_rows - 1, segments.first[segment + 1] - window_rows)
    stored = np.where(last_start >= part_first, last_start + window_rows - part_first, 0)
    del last_start
    before = np.concatenate([[0], np.cumsum(stored)])
    return Superblocks(
        first=first,
        part_superblock=superblock,
        part_segment=segment,
        part_first=part_first,
        part_rows=part_rows,
        part_stored=stored,
        part_offset=before[:-1] - before[bounds[superblock]],
        block_rows=np.diff(before[bounds]),
        part_bounds=bounds,
    )


def _merged(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """What stands in either of two ascending arrays, once. `np.union1d` hashes: ten times as slow."""
    both = np.concatenate([one, other])
    both.sort(kind="stable")  # merges runs that are sorted already
    once: NDArray[np.int64] = both[np.concatenate([[True], both[1:] != both[:-1]])]
    return once


@dataclass(frozen=True, slots=True)
class SplitWindows:
    """The windows of one split, numbered in plan order: superblock by superblock, then by first row."""

    superblocks: NDArray[np.int64]
    """[S] superblocks that hold windows of the split; the order of an epoch numbers them from 0."""
    counts: NDArray[np.int64]
    """[S] windows of each."""
    run_first: NDArray[np.int64]
    """[q runs + 1] number of the first window of each run (a part's share of the split); then the total."""
    run_start: NDArray[np.int64]
    """[q] logical row at which a run's first window starts."""
    run_offset: NDArray[np.int64]
    """[q] where in its block that row is."""
    run_superblock: NDArray[np.int32]
    stride: int

    @property
    def total(self) -> int:
        """How many windows."""
        return int(self.run_first[-1])

    def locate(
        self, numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Superblock, row in its block, and logical first row of windows given by number, [n] each."""
        run = np.searchsorted(self.run_first, numbers, side="right") - 1
        further = (numbers - self.run_first[run]) * self.stride
        superblock = self.run_superblock[run].astype(np.int64)
        return superblock, self.run_offset[run] + further, self.run_start[run] + further


def windows_of(
    superblocks: Superblocks,
    segments: Segments,
    ranges: tuple[NDArray[np.int64], NDArray[np.int64]],
    stride: int,
) -> SplitWindows:
    """Count a split's windows part by part, in closed form.

    Args:
        superblocks: the parts.
        segments: the segments that they belong to.
        ranges: first and last row of each segment at which a window may start, multiples of `stride`.
        stride: rows between starts.
    """
    segment = superblocks.part_segment
    row = superblocks.part_first - segments.first[segment]
    first = np.maximum(ranges[0][segment], -(-row // stride) * stride)
    last = np.minimum(ranges[1][segment], (row + superblocks.part_rows - 1) // stride * stride)
    counts = np.maximum((last - first) // stride + 1, 0)
    runs = np.flatnonzero(counts)
    counts, first = counts[runs], first[runs]
    owner = superblocks.part_superblock[runs]
    begins = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]])[: len(owner)])
    held = owner[begins].astype(np.int64)
    totals = np.add.reduceat(counts, begins) if len(begins) else np.empty(0, np.int64)
    return SplitWindows(
        superblocks=held,
        counts=totals,
        run_first=np.concatenate([[0], np.cumsum(counts)]),
        run_start=segments.first[segment[runs]] + first,
        run_offset=superblocks.part_offset[runs] + first - row[runs],
        run_superblock=owner,
        stride=stride,
    )
