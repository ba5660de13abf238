"""The indexes of many files as they come: one long array for each column, so that no piece is held twice."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm.windows.file_index import FileIndex

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
        begins = np.array([share.begin for share in shares], np.int64)
        if not np.array_equal(begins, np.sort(begins)):
            for name in COLUMNS:  # one after the other: only one of them is held twice
                column = self._columns.pop(name)
                self._columns[name] = np.concatenate([column[share.begin : share.end] for share in shares])
        else:
            self._resize(self._length)
        columns, self._columns = self._columns, {}
        return columns

    def _resize(self, length: int) -> None:
        for column in self._columns.values():
            column.resize(length, refcheck=False)  # no views are out: `index` says so
