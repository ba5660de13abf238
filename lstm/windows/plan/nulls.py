"""What null policies come to in a plan: starts of windows that are dropped, values that are carried on.

A dropped window would hold a missing value of a `drop_window` column. Whatever is filled takes the last known
value of the same segment, also from rows before the window, never from later ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.packing import pack, unpack
from lstm.windows.errors import MissingValues
from lstm.windows.index.index import SequenceIndex
from lstm.windows.index.segments import Segments, ranges
from lstm.windows.spec import WindowSpec
from lstm.windows.table.column import Column, NullPolicy


@dataclass(frozen=True, slots=True)
class Nulls:
    """The null policies of a plan, and what they come to. Costs 16 bytes per dropped stretch, and 4 per piece
    for every column that is filled."""

    policies: Mapping[str, NullPolicy]
    """By column; `mask` needs no entry."""
    identities: Mapping[str, str]
    """What these columns mean inside the files."""
    dropped: NDArray[np.int64]
    """[d, 2] logical rows [first, end) where no window starts: ascending, disjoint, each in a segment."""
    carried: Mapping[str, NDArray[np.float32]]
    """By filled column, [n pieces]: what the missing values at a piece's beginning take; NaN: nothing."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "policies": dict(self.policies),
            "identities": dict(self.identities),
            "dropped": [pack(self.dropped[:, 0]), pack(self.dropped[:, 1])],
            "carried": {name: pack(values) for name, values in self.carried.items()},
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Nulls":
        """The inverse of `to_json`."""
        first, end = (unpack(packed, np.int64) for packed in values["dropped"])
        carried = {name: unpack(packed, np.float32) for name, packed in values["carried"].items()}
        return cls(values["policies"], values["identities"], np.stack([first, end], axis=1), carried)


NO_NULLS = Nulls({}, {}, np.empty((0, 2), np.int64), {})
"""Of a plan whose columns are all masked."""


def find_nulls(index: SequenceIndex, segments: Segments, window: WindowSpec) -> Nulls:
    """Apply the policies of the index's columns.

    Raises:
        MissingValues: a column of policy `error` has a row without a value.
    """
    if not index.columns:
        return NO_NULLS
    dropped, carried = [], {}
    for column in index.columns:
        missing = index.missing[column.name]
        if column.nulls == "error" and missing.total:
            _refuse(index, column)
        if column.nulls == "drop_window":
            reach = window.context if column.role == "past" else window.length
            dropped.append(_starts_of(missing.first, missing.rows, segments, reach))
        if column.nulls == "forward_fill":
            carried[column.name] = _carried(missing.first, missing.rows, missing.last, segments)
    return Nulls(
        {column.name: column.policy for column in index.columns},
        {column.name: index.snapshot.column_identity(column.name) for column in index.columns},
        _united(np.concatenate([np.empty((0, 2), np.int64), *dropped])),
        carried,
    )


def _starts_of(
    first: NDArray[np.int64], rows: NDArray[np.int64], segments: Segments, reach: int
) -> NDArray[np.int64]:
    """[d, 2] logical rows at which a window of `reach` rows would hold one of these physical rows."""
    low = segments.physical_first.find(first)
    owner, piece = ranges(low, segments.physical_first.find(first + rows - 1) + 1 - low)
    piece_first = segments.physical_first.at(piece)
    begin = np.maximum(first[owner], piece_first)
    end = np.minimum((first + rows)[owner], piece_first + segments.pieces.rows[piece])
    logical = segments.chained_first.at(segments.places_of(piece)) + begin - piece_first
    segment = np.searchsorted(segments.first, logical, side="right") - 1
    earliest = np.maximum(logical - reach + 1, segments.first[segment])
    return np.stack([earliest, logical + end - begin], axis=1)


def _united(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Stretches that overlap as one. Those that only touch stay apart: they may be of two segments."""
    if not len(starts):
        return starts
    starts = starts[np.argsort(starts[:, 0], kind="stable")]
    ends = np.maximum.accumulate(starts[:, 1])
    begins = np.flatnonzero(np.concatenate([[True], starts[1:, 0] >= ends[:-1]]))
    last = np.append(begins[1:], len(starts)) - 1
    return np.stack([starts[begins, 0], ends[last]], axis=1)


def _carried(
    first: NDArray[np.int64], rows: NDArray[np.int64], last: NDArray[np.float32], segments: Segments
) -> NDArray[np.float32]:
    """[n pieces] the last known value before each piece in its segment, where it begins without one."""
    pieces = np.arange(len(last))
    in_order = last[segments.chained]
    known = np.maximum.accumulate(np.where(np.isnan(in_order), -1, pieces))
    before = np.concatenate([[-1], known[:-1]])
    own_first = np.repeat(segments.first_piece[:-1], np.diff(segments.first_piece))
    values = np.full(len(last), np.nan, np.float32)
    reached = before >= own_first
    values[segments.chained[reached]] = in_order[before[reached]]
    begins = segments.physical_first.all()[:-1]
    run = np.searchsorted(first, begins, side="right") - 1
    needs = (run >= 0) & (begins < (first + rows)[run]) if len(first) else np.zeros(len(last), np.bool_)
    return np.where(needs, values, np.float32(np.nan))


def _refuse(index: SequenceIndex, column: Column) -> NoReturn:
    missing, pieces = index.missing[column.name], index.pieces
    row = int(missing.first[0])
    ends = np.cumsum(pieces.group_rows)
    group = int(np.searchsorted(ends, row, side="right"))
    inside = row - int(ends[group] - pieces.group_rows[group])
    piece = int(np.searchsorted(np.cumsum(pieces.rows, dtype=np.int64), row, side="right"))
    keys = index.keys
    of = "" if keys.entity is None else f" of {keys.entity} {index.series[pieces.series[piece]]!r}"
    when = keys.say(int(index.group_times(group)[inside]))
    added = 0 if pieces.stored is None else int((pieces.rows - pieces.stored).sum(dtype=np.int64))
    of_grid = f" ({added} of the rows are added by the grid, and have none)" if added else ""
    others = "mask, forward_fill or drop_window" if column.can_fill else "mask or drop_window"
    raise MissingValues(
        f"column {column.name!r} has no value in {missing.total} of {int(ends[-1])} rows, the first{of} at "
        f"{when}, in row {inside} of {index.group_name(group)}{of_grid}; write values there, or choose "
        f"for this column {others} in the place of error"
    )
