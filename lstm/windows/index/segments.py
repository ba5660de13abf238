"""Chain pieces into segments and series: the rows of a snapshot in the order of (series, time).

Rows have two numbers. The *physical* one counts live rows in the snapshot's own order (files, row groups,
rows); the *logical* one counts them by series, then time. A segment is a range of logical rows.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays import sums
from lstm.windows.arrays.sums import Sums


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
    stored: NDArray[np.int32] | None = None
    """[n] rows of each that stand in the table, where a grid fills in those that do not; None: all."""

    def __len__(self) -> int:
        return len(self.rows)

    def of_the_table(self) -> "Pieces":
        """Without the rows that a grid adds: they end where they did, or before."""
        if self.stored is None:
            return self
        edges = np.concatenate([[0], np.cumsum(self.stored, dtype=np.int64)])
        ends = np.searchsorted(np.cumsum(self.rows, dtype=np.int64), np.cumsum(self.group_rows), side="right")
        return replace(self, rows=self.stored, group_rows=np.diff(edges[ends], prepend=0))

    def row_group(self, group: int) -> tuple[int, int]:
        """Where a row group lies: its file, by its number in the snapshot, and its number in that file."""
        return int(self.group_file[group]), int(self.group_number[group])


@dataclass(frozen=True, slots=True)
class Copies:
    """Rows to copy out of row groups, [k] each."""

    owner: NDArray[np.int64]
    """Place of the range that they belong to; ascending."""
    group: NDArray[np.int64]
    row: NDArray[np.int64]
    """First row in the row group."""
    count: NDArray[np.int64]
    place: NDArray[np.int64]
    """Where the first row goes."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Where segments and series lie on the logical axis, and which pieces make them up: 4 bytes per piece."""

    pieces: Pieces
    chained: NDArray[np.integer]
    """[n pieces] pieces (by physical number) in logical order; 4 bytes each as long as that is enough."""
    chained_first: Sums
    """First logical row of each of the n chained pieces."""
    physical_first: Sums
    """First physical row of each of the n pieces."""
    group_first: NDArray[np.int64]
    """[G + 1] first physical row of each row group; then the number of rows."""
    group_piece: NDArray[np.int64]
    """[G + 1] first piece of each row group; then the number of pieces."""
    first_piece: NDArray[np.int64]
    """[m segments + 1] place in `chained` of each segment's first piece; then the number of pieces."""
    first: NDArray[np.int64]
    """[m + 1] first logical row of each segment; then the number of rows."""
    series: NDArray[np.int64]
    """[m]"""
    series_first: NDArray[np.int64]
    """[s series + 1] first logical row of each series; then the number of rows."""
    series_piece: NDArray[np.int64]
    """[s + 1] place in `chained` of each series' first piece; then the number of pieces."""
    kept_first: NDArray[np.int64] | None
    """[n] first logical row of each piece, in physical order; None: too many to keep 8 bytes for each."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """[m] rows of each segment."""
        return np.diff(self.first)

    def count_copies(self, first: NDArray[np.int64], counts: NDArray[np.int64]) -> int:
        """How many copies `copies` would list."""
        low, high = self.chained_first.find(first), self.chained_first.find(first + counts - 1)
        return int((high - low).sum()) + len(first)

    def copies(
        self, first: NDArray[np.int64], counts: NDArray[np.int64], places: NDArray[np.int64]
    ) -> Copies:
        """Where ranges of logical rows lie in row groups.

        Args:
            first: [k] first logical row of each range.
            counts: [k] rows of each range, >= 1.
            places: [k] where each range is wanted.
        """
        low = self.chained_first.find(first)
        touched = self.chained_first.find(first + counts - 1) + 1 - low
        owner, place = ranges(low, touched)
        piece = self.chained[place]
        rows = self.pieces.rows[piece].astype(np.int64)
        piece_first = running(self.chained_first.at(low), rows, touched)
        start = np.maximum(first[owner], piece_first)
        end = np.minimum((first + counts)[owner], piece_first + rows)
        group = self.group_of(piece)
        row = self.physical_first.at(piece) - self.group_first[group] + start - piece_first
        return Copies(owner, group, row, end - start, places[owner] + start - first[owner])

    def within_series(self, logical: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """[k] each: the series that logical rows belong to, and how many of its rows stand before them."""
        series: NDArray[np.int64] = np.searchsorted(self.series_first, logical, side="right") - 1
        return series, logical - self.series_first[series]

    def group_of(self, piece: NDArray[np.integer]) -> NDArray[np.int64]:
        """[k] the row group that holds each piece."""
        return np.searchsorted(self.group_piece, piece, side="right") - 1

    def group_pieces(self, group: int) -> tuple[slice, NDArray[np.int64]]:
        """The pieces of a row group, and where in it each begins."""
        pieces = slice(int(self.group_piece[group]), int(self.group_piece[group + 1]))
        rows = self.pieces.rows[pieces].astype(np.int64)
        return pieces, np.cumsum(rows) - rows

    def places_of(self, piece: NDArray[np.integer]) -> NDArray[np.int64]:
        """[k] place of each piece in `chained`: halved until it is found, as a series is in order of time."""
        series, time = self.pieces.series[piece], self.pieces.first_time[piece]
        low: NDArray[np.int64]
        low, high = self.series_piece[series], self.series_piece[series + 1] - 1
        while bool(np.any(low < high)):
            middle = (low + high) // 2
            before = self.pieces.first_time[self.chained[middle]] < time
            low, high = np.where(before, middle + 1, low), np.where(before, high, middle)
        return low

    def logical_first(self) -> NDArray[np.int64]:
        """[n] first logical row of each piece, in physical order. Made anew, 8 bytes each, unless kept."""
        return (
            _logical_first(self.chained, self.chained_first) if self.kept_first is None else self.kept_first
        )


def _logical_first(chained: NDArray[np.integer], chained_first: Sums) -> NDArray[np.int64]:
    first = np.empty(len(chained), np.int64)
    first[chained] = chained_first.all()[:-1]
    return first


def ranges(first: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of k ranges, one range after the other: which range each belongs to, and the numbers."""
    owner = np.repeat(np.arange(len(first)), sizes)
    return owner, np.arange(len(owner)) + np.repeat(first - (np.cumsum(sizes) - sizes), sizes)


def running(
    first: NDArray[np.int64], lengths: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where things begin that stand end to end in k stretches.

    Args:
        first: [k] where each stretch begins.
        lengths: of the things, stretch by stretch.
        sizes: [k] things of each stretch, >= 1.
    """
    before = np.cumsum(lengths) - lengths
    begins = np.cumsum(sizes) - sizes
    starts: NDArray[np.int64] = before + np.repeat(first - before[begins], sizes)
    return starts


@dataclass(frozen=True, slots=True)
class Links:
    """Pieces in logical order, and where two that follow each other do not hang together."""

    order: NDArray[np.integer]
    """[n] by series, then time; of equals, the one that stands first."""
    cuts: NDArray[np.int64]
    """Places at which a segment begins."""
    late: NDArray[np.int64]
    """Places after which a piece of the same series begins before the one there ends."""


def link(pieces: Pieces, max_gap: int | None) -> Links:
    """Order pieces, and compare those that follow each other. O(n), or O(n log n) where times go back.

    Most tables hold each series in order of time: then to sort by series is enough, and takes a fraction.
    """
    links = _compared(pieces, _by_series(pieces.series), max_gap)
    if links is None:
        order = _small(np.lexsort((pieces.first_time, pieces.series)))
        links = _compared(pieces, order, max_gap)
    assert links is not None
    return links


def chain(pieces: Pieces, links: Links) -> Segments:
    """Lay pieces that do not overlap end to end, and cut where series or gaps say so."""
    assert not len(links.late), "pieces of one series overlap"
    chained, first_piece = links.order, links.cuts
    chained_first, physical_first = Sums(pieces.rows, chained), Sums(pieces.rows)
    segment_series = pieces.series[chained[first_piece]].astype(np.int64)
    assert bool(np.all(np.bincount(segment_series) > 0)), "a series has no rows"
    series_segments = np.searchsorted(segment_series, np.arange(int(segment_series[-1]) + 2))
    first_piece = np.append(first_piece, len(chained))
    first = chained_first.at(first_piece)
    group_first = np.concatenate([[0], np.cumsum(pieces.group_rows)])
    return Segments(
        pieces=pieces,
        chained=chained,
        chained_first=chained_first,
        physical_first=physical_first,
        group_first=group_first,
        group_piece=physical_first.find(group_first),
        first_piece=first_piece,
        first=first,
        series=segment_series,
        series_first=first[series_segments],
        series_piece=first_piece[series_segments],
        kept_first=_logical_first(chained, chained_first) if len(chained) <= sums.FEW else None,
    )


_AT_ONCE = 1 << 17
"""Pieces looked at in one go, so that what is made of them stays in the processor's cache."""


def _by_series(series: NDArray[np.int32]) -> NDArray[np.integer]:
    """[n] a stable sort that holds 4 bytes per piece and no more: counted first, then put in their places."""
    count = int(series.max(initial=-1)) + 1
    small = np.uint16 if count <= 2**16 else series.dtype  # numpy sorts two bytes by radix
    next_place = np.zeros(count + 1, np.int64)
    for begin in range(0, len(series), _AT_ONCE):
        next_place[1:] += np.bincount(series[begin : begin + _AT_ONCE], minlength=count)
    np.cumsum(next_place, out=next_place)
    order: NDArray[np.integer] = np.empty(len(series), np.int32 if len(series) < 2**31 else np.int64)
    for begin in range(0, len(series), _AT_ONCE):
        some = series[begin : begin + _AT_ONCE]
        come = np.argsort(some.astype(small, copy=False), kind="stable")
        which = some[come]
        runs = np.flatnonzero(np.concatenate([[True], which[1:] != which[:-1]]))
        sizes = np.diff(np.append(runs, len(which)))
        _, places = ranges(next_place[which[runs]], sizes)
        order[places] = come + begin
        next_place[which[runs]] += sizes
    return order


def _compared(pieces: Pieces, order: NDArray[np.integer], max_gap: int | None) -> Links | None:
    """What `Links` says of neighbours in this order; None: the times of a series go back."""
    cuts, late = [np.zeros(1, np.int64)], [np.empty(0, np.int64)]
    for begin in range(0, len(order) - 1, _AT_ONCE):
        some = order[begin : begin + _AT_ONCE + 1]
        series, first = pieces.series[some], pieces.first_time[some]
        same = series[1:] == series[:-1]
        if bool(np.any(same & (first[1:] < first[:-1]))):
            return None
        step = first[1:] - pieces.last_time[some[:-1]]
        cuts.append(begin + 1 + np.flatnonzero(~same if max_gap is None else ~same | (step > max_gap)))
        late.append(begin + np.flatnonzero(same & (step <= 0)))
    return Links(order, np.concatenate(cuts), np.concatenate(late))


def _small(numbers: NDArray[np.int64]) -> NDArray[np.integer]:
    """Numbers of things below their count, in 4 bytes each if that is enough."""
    return numbers.astype(np.int32) if len(numbers) < 2**31 else numbers
