"""Chain pieces into segments and series: the rows of a snapshot in the order of (series, time).

Rows have two numbers. The *physical* one counts live rows in the snapshot's own order (files, row groups,
rows); the *logical* one counts them by series, then time. A segment is a range of logical rows.
"""

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

    chained: NDArray[np.int64]
    """[n pieces] pieces (by physical number) in logical order."""
    chained_first: NDArray[np.int64]
    """[n pieces + 1] first logical row of each chained piece; then the number of rows."""
    place: NDArray[np.int64]
    """[n pieces] place of each piece in `chained`."""
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

    def of_rows(self, logical: NDArray[np.int64]) -> NDArray[np.int64]:
        """The segment of each logical row."""
        return np.searchsorted(self.first, logical, side="right") - 1


def logical_order(pieces: Pieces) -> NDArray[np.int64]:
    """[n pieces] by series, then time."""
    return np.lexsort((pieces.first_time, pieces.series))


def chain(pieces: Pieces, max_gap: int | None) -> Segments:
    """Lay pieces that do not overlap end to end, and cut where series or gaps say so. O(n log n)."""
    chained = logical_order(pieces)
    series = pieces.series[chained]
    same = series[1:] == series[:-1]
    step = pieces.first_time[chained][1:] - pieces.last_time[chained][:-1]
    assert bool(np.all(step[same] > 0)), "pieces of one series overlap"
    cut = ~same if max_gap is None else ~same | (step > max_gap)
    first_piece = np.flatnonzero(np.concatenate([[True], cut]))
    chained_first = _starts(pieces.rows[chained])
    place = np.empty(len(chained), np.int64)
    place[chained] = np.arange(len(chained))
    segment_series = series[first_piece].astype(np.int64)
    series_rows = np.bincount(series, weights=None, minlength=int(series.max()) + 1)
    assert bool(np.all(series_rows > 0)), "a series has no rows"
    return Segments(
        chained=chained,
        chained_first=chained_first,
        place=place,
        physical_first=_starts(pieces.rows),
        group_first=_starts(pieces.group_rows),
        first_piece=np.append(first_piece, len(chained)),
        first=np.append(chained_first[first_piece], chained_first[-1]),
        series=segment_series,
        series_first=chained_first[np.searchsorted(series, np.arange(len(series_rows) + 1))],
    )


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
