"""Divide windows into training, validation and test by the time of their horizons, without leakage.

A boundary is a time; for every segment it becomes the first row at or after it. A horizon lies wholly in
a split if its first row is not before the split's first row and its last one before the split's end. On a
grid, a split ends in every series with the last row before its end that stands in the table
(`Cut.known`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.sums import Sums
from lstm.windows.errors import WindowError
from lstm.windows.index.index import SequenceIndex
from lstm.windows.index.segments import Segments
from lstm.windows.spec import Split, SplitSpec, WindowSpec
from lstm.windows.table.keys import FURTHEST, read_time

Boundaries = dict[Split, tuple[int | None, int | None]]
"""Times [first, end) of each split; None: open."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A boundary inside segments: the first row, counted from the segment's own, at or after it."""

    segments: NDArray[np.int64]
    """Segments with rows before and at or after the boundary; the others need no record."""
    rows: NDArray[np.int64]
    known: NDArray[np.int64] | None = None
    """On a grid: the row after the last one before the boundary that stands in the table. Those between are
    there only because of a row at or after the boundary. None: no grid, so the same as `rows`."""

    def arrays(self) -> tuple[NDArray[np.int64], ...]:
        """What it consists of, in the order of its fields."""
        return (self.segments, self.rows) if self.known is None else (self.segments, self.rows, self.known)


def boundaries_of(
    spec: SplitSpec, first: int, last: int, interval: int, *, ordinal: bool = False
) -> Boundaries:
    """Divide the sampling times from `first` to `last`, `interval` apart: at times, or by their number.

    Shares are taken as the decimal numbers that were written, so 0.15 of 8760 hours are 1314 of them.

    Raises:
        WindowError: times that cannot be read, or are not in order.
    """
    found = (
        _shared(spec, first, last, interval)
        if spec.validation_from is None
        else _dated(spec, last, interval, ordinal)
    )
    return {split: (_reached(begin), _reached(end)) for split, (begin, end) in found.items()}


def _reached(time: int | None) -> int | None:
    """A boundary that 64 bits hold: one beyond all times, as of a huge embargo, leaves nothing either."""
    return None if time is None else max(-FURTHEST, min(time, FURTHEST + 1))


def _shared(spec: SplitSpec, first: int, last: int, interval: int) -> Boundaries:
    times = (last - first) // interval + 1
    test, validation = Fraction(repr(float(spec.test))), Fraction(repr(float(spec.validation)))
    test_first = first + ceil(times * (1 - test)) * interval
    validation_first = first + ceil(times * (1 - test - validation)) * interval
    embargo = spec.embargo_rows * interval
    return {
        "train": (None, validation_first - embargo),
        "validation": (validation_first, test_first - embargo),
        "test": (test_first, None),
    }


def _dated(spec: SplitSpec, last: int, interval: int, ordinal: bool) -> Boundaries:
    said = (spec.validation_from, spec.test_from, spec.test_before)
    read = [None if text is None else read_time(text, ordinal=ordinal) for text in said]
    times = [time for time in read if time is not None]
    if any(one >= other for one, other in pairwise(times)):
        raise WindowError(
            f"the splits' times must follow each other, but they are {', '.join(filter(None, said))}; "
            "validation_from comes before test_from, and test_before after it"
        )
    validation_first, test_first, end = read
    assert validation_first is not None
    embargo = spec.embargo_rows * interval
    return {
        "train": (None, validation_first - embargo),
        "validation": (validation_first, None if test_first is None else test_first - embargo),
        "test": (last + interval, None) if test_first is None else (test_first, end),
    }


def cut_at(time: int, index: SequenceIndex, segments: Segments) -> Cut:
    """Find a boundary's row in every segment that it cuts. Reads times only inside irregular pieces."""
    pieces, chained = index.pieces, segments.chained
    starts, ends = segments.first_piece[:-1], segments.first_piece[1:]
    segment_first = pieces.first_time[chained[starts]]
    segment_last = pieces.last_time[chained[ends - 1]]
    cut = np.flatnonzero((segment_first < time) & (segment_last >= time))
    place = _first_not_before(time, index, segments, starts[cut], ends[cut])
    piece = chained[place]
    inside = _rows_before(time, piece, index, segments)
    rows = segments.chained_first.at(place) + inside - segments.first[cut]
    if pieces.stored is None:
        return Cut(cut, rows)
    place = place - (inside == 0)  # the piece of the last row before the boundary
    known = segments.chained_first.at(place) - segments.first[cut]
    return Cut(cut, rows, np.minimum(rows, known + _known_before(time, chained[place], index, segments)))


def _known_before(
    time: int, piece: NDArray[np.integer], index: SequenceIndex, segments: Segments
) -> NDArray[np.int64]:
    """[k] rows of each piece on a grid up to its last one before `time` that stands in the table.

    Reads the times of row groups that hold such a piece which lacks rows, one after the other.
    """
    pieces, table = index.pieces, index.pieces.of_the_table()
    known: NDArray[np.int64] = pieces.rows[piece].astype(np.int64)
    lacks = np.flatnonzero(table.rows[piece] < known)
    group, begins = segments.group_of(piece), Sums(table.rows)
    group_first = np.cumsum(table.group_rows) - table.group_rows
    row_of = begins.at(piece) - group_first[group]
    for number in np.unique(group[lacks]):
        times = index.table_times(int(number))
        for one in lacks[group[lacks] == number]:
            own = times[int(row_of[one]) :][: int(table.rows[piece[one]])]
            last = own[np.searchsorted(own, time) - 1]
            known[one] = (last - own[0]) // index.interval + 1
    return known


def _first_not_before(
    time: int,
    index: SequenceIndex,
    segments: Segments,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    """[k] of the chained pieces [start, end) of each segment the first that does not end before `time`.

    The last one of each does not. Pieces of a segment are in order of time, so they are halved until it is
    found.
    """
    low, high = starts.copy(), ends - 1
    while bool(np.any(low < high)):
        middle = (low + high) // 2
        before = index.pieces.last_time[segments.chained[middle]] < time
        low, high = np.where(before, middle + 1, low), np.where(before, high, middle)
    return low


def _rows_before(
    time: int, piece: NDArray[np.integer], index: SequenceIndex, segments: Segments
) -> NDArray[np.int64]:
    """[k] rows before `time` in each piece; all of them end at `time` or after it."""
    pieces = index.pieces
    first, rows = pieces.first_time[piece], pieces.rows[piece].astype(np.int64)
    step = (pieces.last_time[piece] - first) // np.maximum(rows - 1, 1)
    before = np.where(first < time, -(-(time - first) // np.maximum(step, 1)), 0)
    irregular = np.flatnonzero(~index.piece_regular[piece] & (first < time))
    group = segments.group_of(piece)
    row_of = segments.physical_first.at(piece) - segments.group_first[group]
    for number in np.unique(group[irregular]):
        times = index.group_times(int(number))
        for one in irregular[group[irregular] == number]:
            row = int(row_of[one])
            before[one] = np.searchsorted(times[row : row + int(rows[one])], time)
    return before


def first_rows(
    time: int, cut: Cut, segments: Segments, segment_first: NDArray[np.int64], ends: bool = False
) -> NDArray[np.int64]:
    """[m] the first row of every segment at or after `time`: 0, its number of rows, or what `cut` says.

    With `ends`, the end of what is known before `time`.
    """
    rows = np.where(segment_first >= time, 0, segments.rows)
    rows[cut.segments] = cut.known if ends and cut.known is not None else cut.rows
    return rows


def start_ranges(
    window: WindowSpec,
    bounds: tuple[int | None, int | None],
    cuts: Mapping[int, NDArray[np.int64]],
    known: Mapping[int, NDArray[np.int64]],
    segments: Segments,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last row of every segment at which a window of a split may start (none: last < first).

    Args:
        window: the spec; starts are multiples of its stride, counted from the segment's first row.
        bounds: times of the split.
        cuts: first row of every segment at or after each bounding time.
        known: end of the rows of every segment that are known before each bounding time.
        segments: the segments.
    """
    first_time, end_time = bounds
    rows = segments.rows
    first = np.zeros_like(rows) if first_time is None else np.maximum(cuts[first_time] - window.context, 0)
    end = rows if end_time is None else known[end_time]
    first = -(-first // window.stride) * window.stride
    return first, (end - window.length) // window.stride * window.stride
