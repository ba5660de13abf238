"""Chain pieces into segments and series: the rows of a snapshot in the order of (series, time).

Rows have two numbers. The *physical* one counts live rows in the snapshot's own order (files, row groups,
rows); the *logical* one counts them by series, then time. A segment is a range of logical rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Pieces:
    """Runs of rows in physical order, about 24 bytes each; they tile the live rows of the row groups."""

    group_file: NDArray[np.int32]
    """[G] file of each row group, as a number into the snapshot's files."""
    group_number: NDArray[np.int32]
    """[G] number of each row group in its file."""
    group_rows: NDArray[np.int64]
    """[G] live rows."""
    series: NDArray[np.int32]
    """[n pieces]"""
    rows: NDArray[np.int32]
    first_time: NDArray[np.int64]
    last_time: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Copies:
    """Rows to copy out of row groups, [k] each."""

    group: NDArray[np.int64]
    row: NDArray[np.int64]
    """First row in the row group."""
    count: NDArray[np.int64]
    place: NDArray[np.int64]
    """Where the first row goes."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Where segments and series lie on the logical axis, and which pieces make them up."""

    chained: NDArray[np.integer]
    """[n pieces] pieces (by physical number) in logical order; 4 bytes each as long as that is enough."""
    chained_first: NDArray[np.int64]
    """[n pieces + 1] first logical row of each chained piece; then the number of rows."""
    physical_first: NDArray[np.int64]
    """[n pieces + 1] first physical row of each piece; then the number of rows."""
    group_first: NDArray[np.int64]
    """[G + 1] first physical row of each row group; then the number of rows."""
    first_piece: NDArray[np.int64]
    """[m segments + 1] place in `chained` of each segment's first piece; then the number of pieces."""
    first: NDArray[np.int64]
    """[m + 1] first logical row of each segment; then the number of rows."""
    series: NDArray[np.int64]
    """[m]"""
    series_first: NDArray[np.int64]
    """[s series + 1] first logical row of each series; then the number of rows."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """[m] rows of each segment."""
        return np.diff(self.first)

    def copies(
        self, first: NDArray[np.int64], counts: NDArray[np.int64], places: NDArray[np.int64]
    ) -> Copies:
        """Where ranges of logical rows lie in row groups.

        Args:
            first: [k] first logical row of each range.
            counts: [k] rows of each range, >= 1.
            places: [k] where each range is wanted.
        """
        low = np.searchsorted(self.chained_first, first, side="right") - 1
        high = np.searchsorted(self.chained_first, first + counts - 1, side="right")
        touched = high - low
        owner = np.repeat(np.arange(len(first)), touched)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(touched) - touched - low, touched)
        start = np.maximum(first[owner], self.chained_first[place])
        end = np.minimum((first + counts)[owner], self.chained_first[place + 1])
        physical = self.physical_first[self.chained[place]] + start - self.chained_first[place]
        group = np.searchsorted(self.group_first, physical, side="right") - 1
        return Copies(
            group, physical - self.group_first[group], end - start, places[owner] + start - first[owner]
        )

    def places(self) -> NDArray[np.integer]:
        """[n pieces] place of each piece in `chained`. Made anew by each call."""
        place = np.empty_like(self.chained)
        place[self.chained] = np.arange(len(self.chained), dtype=self.chained.dtype)
        return place

    def of_chained(self) -> NDArray[np.integer]:
        """[n pieces] the segment of each chained piece. Made anew by each call."""
        numbers = _small(np.arange(len(self.series)))
        return np.repeat(numbers, np.diff(self.first_piece))


def logical_order(pieces: Pieces) -> NDArray[np.integer]:
    """[n pieces] by series, then time; of equals, the one that stands first.

    Most tables hold each series in order of time: then to sort by series is enough, and takes a fraction.
    """
    small = np.uint16 if int(pieces.series.max(initial=0)) < 2**16 else pieces.series.dtype
    order = _small(np.argsort(pieces.series.astype(small, copy=False), kind="stable"))
    for _, same, one, other in _neighbours(pieces, order):
        if bool(np.any(same & (pieces.first_time[other] < pieces.first_time[one]))):
            return _small(np.lexsort((pieces.first_time, pieces.series)))
    return order


def late(pieces: Pieces, order: NDArray[np.integer]) -> NDArray[np.int64]:
    """Places in the logical order after which a piece of the same series begins before the one there ends."""
    found = [
        begin + np.flatnonzero(same & (pieces.first_time[other] <= pieces.last_time[one]))
        for begin, same, one, other in _neighbours(pieces, order)
    ]
    return np.concatenate([np.empty(0, np.int64), *found])


def chain(pieces: Pieces, max_gap: int | None, order: NDArray[np.integer] | None = None) -> Segments:
    """Lay pieces that do not overlap end to end, and cut where series or gaps say so. O(n log n).

    `order` is their logical order, if it is known.
    """
    chained = logical_order(pieces) if order is None else order
    cuts = [np.zeros(1, np.int64)]
    for begin, same, one, other in _neighbours(pieces, chained):
        step = pieces.first_time[other] - pieces.last_time[one]
        assert bool(np.all(step[same] > 0)), "pieces of one series overlap"
        cut = ~same if max_gap is None else ~same | (step > max_gap)
        cuts.append(begin + 1 + np.flatnonzero(cut))
    first_piece = np.concatenate(cuts)
    chained_first = _starts(pieces.rows[chained])
    segment_series = pieces.series[chained[first_piece]].astype(np.int64)
    assert bool(np.all(np.bincount(segment_series) > 0)), "a series has no rows"
    series_segments = np.searchsorted(segment_series, np.arange(int(segment_series[-1]) + 2))
    first = np.append(chained_first[first_piece], chained_first[-1])
    return Segments(
        chained=chained,
        chained_first=chained_first,
        physical_first=_starts(pieces.rows),
        group_first=_starts(pieces.group_rows),
        first_piece=np.append(first_piece, len(chained)),
        first=first,
        series=segment_series,
        series_first=first[series_segments],
    )


_AT_ONCE = 1 << 20
"""Pieces looked at in one go: what is made of them would else take more memory than they do."""


def _neighbours(
    pieces: Pieces, order: NDArray[np.integer]
) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.integer], NDArray[np.integer]]]:
    """Pairs of pieces that follow each other: place of the first of them; same series?; one; the other."""
    for begin in range(0, len(order) - 1, _AT_ONCE):
        some = order[begin : begin + _AT_ONCE + 1]
        series = pieces.series[some]
        yield begin, series[1:] == series[:-1], some[:-1], some[1:]


def _small(numbers: NDArray[np.int64]) -> NDArray[np.integer]:
    """Numbers of things below their count, in 4 bytes each if that is enough."""
    return numbers.astype(np.int32) if len(numbers) < 2**31 else numbers


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts
