"""Refuse a table whose row groups repeat rows of a series, or alternate them beyond what can be untangled."""

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from lstm.windows.errors import DuplicateRows, UnsortedTable
from lstm.windows.index.index import SequenceIndex
from lstm.windows.index.runs import REMEDY


def check_overlaps(index: SequenceIndex) -> None:
    """Make sure that no two pieces of a series overlap in time.

    Raises:
        DuplicateRows: one (entity, time) stands in two row groups.
        UnsortedTable: row groups hold alternating stretches of one series.
    """
    links = index.links
    if len(links.late):
        place = int(links.late[0])
        _refuse(index, int(links.order[place]), int(links.order[place + 1]), len(links.late))


def _refuse(index: SequenceIndex, one: int, other: int, pairs: int) -> NoReturn:
    keys, series = index.keys, index.series[index.pieces.series[one]]
    whose = "" if keys.entity is None else f" of {keys.entity} {series!r}"
    groups = [_locate(index, piece)[0] for piece in (one, other)]
    where = " and ".join(index.group_name(group) for group in groups)
    shared = np.intersect1d(_times(index, one), _times(index, other))
    if len(shared):
        raise DuplicateRows(
            f"2 rows{whose} have the same time {keys.say(int(shared[0]))}, in {where}; {len(shared)} times "
            f"occur in both, and {pairs} such pairs of row groups overlap; keep one row per (entity, time)"
        )
    raise UnsortedTable(
        f"rows{whose} alternate between {where}: one holds {_span(index, one)}, the other "
        f"{_span(index, other)}, and {pairs} such pairs of row groups overlap; {REMEDY}"
    )


def _locate(index: SequenceIndex, piece: int) -> tuple[int, int]:
    """Row group of a piece, and its first row there."""
    pieces = index.pieces
    first = int(pieces.rows[:piece].sum(dtype=np.int64))
    ends = np.cumsum(pieces.group_rows)
    group = int(np.searchsorted(ends, first, side="right"))
    return group, first - int(ends[group] - pieces.group_rows[group])


def _times(index: SequenceIndex, piece: int) -> NDArray[np.int64]:
    group, row = _locate(index, piece)
    return index.group_times(group)[row : row + int(index.pieces.rows[piece])]


def _span(index: SequenceIndex, piece: int) -> str:
    first, last = index.pieces.first_time[piece], index.pieces.last_time[piece]
    return f"{index.keys.say(int(first))} to {index.keys.say(int(last))}"
