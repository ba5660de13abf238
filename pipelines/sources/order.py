"""The order that windows need: rows by (entity, time), each key once, series not interleaved."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

RANGES = ("series", "first", "last", "piece")
"""Columns of a table of ranges: which times a piece of rows has of each series."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Entities and times of some rows, as numbers that sort alike."""

    code: NDArray[np.int64]
    """[n] the place of each row's entity in `names`."""
    names: pa.Array
    """Entities in ascending order; one null where there is no such column."""
    time: NDArray[np.int64]
    """[n]"""

    @classmethod
    def of(cls, rows: pa.Table, entity: str | None, time: str) -> "Keys":
        """The keys of `rows`, whose key columns have no nulls."""
        column = rows.column(time)
        if not pa.types.is_integer(column.type):
            column = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)))
        times = _numpy(column.cast(pa.int64()))
        if entity is None:
            return cls(np.zeros(len(times), np.int64), pa.nulls(1), times)
        encoded = rows.column(entity).combine_chunks().dictionary_encode()
        ascending = pc.sort_indices(encoded.dictionary)
        rank = np.empty(len(ascending), np.int64)
        rank[_numpy(ascending)] = np.arange(len(ascending))
        return cls(rank[_numpy(encoded.indices)], encoded.dictionary.take(ascending), times)

    def order(self) -> NDArray[np.int64] | None:
        """[n] rows by (entity, time), equal ones as they stand; None: they stand so already."""
        same = self.code[1:] == self.code[:-1]
        up = np.where(same, self.time[1:] >= self.time[:-1], self.code[1:] > self.code[:-1])
        return None if bool(up.all()) else np.lexsort((self.time, self.code))

    def once(self, keep: str) -> NDArray[np.int64]:
        """[m] rows by (entity, time), of those with equal keys the `first` or the `last` as they stand."""
        order = self.order()
        order = np.arange(len(self.code)) if order is None else order
        code, time = self.code[order], self.time[order]
        differs = (code[1:] != code[:-1]) | (time[1:] != time[:-1])
        kept = np.append(differs, True) if keep == "last" else np.concatenate([[True], differs])
        return np.asarray(order[kept], np.int64)

    def repeated(self) -> tuple[int, int, int] | None:
        """Two rows with the same key, and how many rows repeat one; None: there are none."""
        order = self.order()
        code, time = (self.code, self.time) if order is None else (self.code[order], self.time[order])
        twice = np.flatnonzero((code[1:] == code[:-1]) & (time[1:] == time[:-1]))
        if not len(twice):
            return None
        place = int(twice[0])
        pair = (place, place + 1) if order is None else (int(order[place]), int(order[place + 1]))
        return min(pair), max(pair), len(twice)

    def ranges(self, piece: int) -> pa.Table:
        """First and last time of each series here."""
        order = self.order()
        code, time = (self.code, self.time) if order is None else (self.code[order], self.time[order])
        first = np.flatnonzero(np.concatenate([[True], code[1:] != code[:-1]]))
        last = np.append(first[1:], len(code)) - 1
        columns = [
            self.names.take(pa.array(code[first])),
            time[first],
            time[last],
            np.full(len(first), piece),
        ]
        return pa.table([pa.array(it) for it in columns], names=list(RANGES))


@dataclass(frozen=True, slots=True)
class Range:
    """Which times a piece of rows has of a series."""

    series: object
    first: int
    last: int
    piece: int


def overlap(ranges: pa.Table) -> tuple[Range, Range] | None:
    """Two ranges of one series that have times in common; None: no two have."""
    by = [("series", "ascending"), ("first", "ascending")]
    keys = by[1:] if pa.types.is_null(ranges.schema.field("series").type) else by
    ranges = ranges.sort_by(keys)
    series = ranges["series"].combine_chunks()
    code = _numpy(series.dictionary_encode().indices) if keys is by else np.zeros(len(series), np.int64)
    first, last = _numpy(ranges["first"]), _numpy(ranges["last"])
    late = np.flatnonzero((code[1:] == code[:-1]) & (first[1:] <= last[:-1]))
    if not len(late):
        return None
    one, other = ranges.slice(int(late[0]), 2).to_pylist()
    return Range(**one), Range(**other)


def whole(ranges: pa.Table, piece: int) -> pa.Table:
    """The ranges of several pieces as those of one."""
    if pa.types.is_null(ranges.schema.field("series").type):
        low, high = pc.min(ranges["first"]), pc.max(ranges["last"])
        return pa.table(
            [pa.nulls(1), pa.array([low.as_py()]), pa.array([high.as_py()]), pa.array([piece])],
            names=list(RANGES),
        )
    grouped = ranges.group_by("series").aggregate([("first", "min"), ("last", "max")])
    pieces = pa.array(np.full(grouped.num_rows, piece))
    return pa.table(
        [grouped["series"], grouped["first_min"], grouped["last_max"], pieces], names=list(RANGES)
    )


def _numpy(values: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    flat = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return np.asarray(flat.to_numpy(zero_copy_only=False), np.int64)
