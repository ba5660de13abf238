"""The indexes of many files as they come: one long array for each column, so that no piece is held twice."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm.windows.index.file_index import FileIndex

COLUMNS: dict[str, type[np.generic]] = {
    "entity": np.int32,
    "rows": np.int32,
    "first_time": np.int64,
    "last_time": np.int64,
    "regular": np.bool_,
}
"""What a `FileIndex` says of each piece."""
_SPARE = 16
"""Arrays grow by one part in so many: the system moves them then, it does not copy them."""
_FEWEST = 1 << 12


@dataclass(frozen=True, slots=True)
class Share:
    """What one index gave: its pieces [begin, end), and what is not said piece by piece."""

    begin: int
    end: int
    file_groups: NDArray[np.int64]
    group_rows: NDArray[np.int64]
    entities: list[Any]
    steps: dict[int, int]


class Gathered:
    """Takes indexes from any thread, in any order."""

    def __init__(self) -> None:
        self._columns: dict[str, NDArray[Any]] = {name: np.empty(0, kind) for name, kind in COLUMNS.items()}
        self._length = 0
        self._lock = threading.Lock()

    def add(self, index: FileIndex) -> Share:
        """Copy the pieces of an index; it need not be kept."""
        with self._lock:
            begin, end = self._length, self._length + len(index.rows)
            if end > len(self._columns["rows"]):
                self._resize(max(end, self._length + self._length // _SPARE, _FEWEST))
            for name, column in self._columns.items():
                column[begin:end] = getattr(index, name)
            self._length = end
        return Share(begin, end, index.file_groups, index.group_rows, index.entities, index.steps)

    def index(self, share: Share) -> FileIndex:
        """An index that was added, as long as none is added after."""
        return FileIndex(
            file_groups=share.file_groups,
            group_rows=share.group_rows,
            entities=share.entities,
            steps=share.steps,
            **{name: column[share.begin : share.end] for name, column in self._columns.items()},
        )

    def columns(self, shares: Sequence[Share]) -> dict[str, NDArray[Any]]:
        """Every column with the pieces of all shares in this order. Nothing can be added or read after."""
        begins = [share.begin for share in shares]
        if begins != sorted(begins):
            late = _late(begins)
            for column in self._columns.values():
                _reorder(column, shares, late)
        self._resize(self._length)
        columns, self._columns = self._columns, {}
        return columns

    def _resize(self, length: int) -> None:
        for column in self._columns.values():
            column.resize(length, refcheck=False)  # no views are out: `index` says so


def _late(begins: Sequence[int]) -> set[int]:
    """Places of shares that came after some that follow them: few, as those of a level come in order."""
    late: set[int] = set()
    lowest = len(begins) and max(begins) + 1
    for place in reversed(range(len(begins))):
        if begins[place] > lowest:
            late.add(place)
        else:
            lowest = begins[place]
    return late


def _reorder(column: NDArray[Any], shares: Sequence[Share], late: set[int]) -> None:
    """Put the shares of one column in order, in place: only late ones are held twice."""
    aside = {place: column[shares[place].begin : shares[place].end].copy() for place in late}
    ends = np.cumsum([share.end - share.begin for share in shares]).tolist()
    end = 0  # close the gaps that late ones leave
    closed: dict[int, tuple[int, int]] = {}
    for place, share in enumerate(shares):
        if place not in late:
            begin, end = end, end + share.end - share.begin
            column[begin:end] = column[share.begin : share.end]
            closed[place] = begin, end
    for place in reversed(closed):  # then open those that they need
        begin, end = closed[place]
        column[ends[place] - (end - begin) : ends[place]] = column[begin:end]
    for place, values in aside.items():
        column[ends[place] - len(values) : ends[place]] = values
