"""Row groups whose rows stand in another order than windows need, put in order as they are read.

Tables that grow as readings arrive are sorted by time alone: the rows of all entities alternate. Here each
row group is sorted by entity and time when it is read; entities follow each other as they first appear in it.
That costs the entity column and a sort for every row group that is read, so it is only done where a table
needs it, and whoever plans is told: `Keys.sorts`.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lstm.windows.table.columns import entities_of, nulls_of, times_of
from lstm.windows.table.keys import Keys
from lstm.windows.table.snapshot_view import SnapshotView
from storage.tables.protocol import DataFile, Snapshot


class SortedRows(SnapshotView):
    """A snapshot whose row groups are each sorted by entity and time."""

    def __init__(self, snapshot: Snapshot, keys: Keys) -> None:
        super().__init__(snapshot)
        self._keys = keys

    def column_identity(self, column: str) -> str:
        """Name what a column means inside the files, and by what its rows are sorted."""
        by = [self._inner.column_identity(key) for key in self._keys.columns]
        return f"sorted by {by}: {self._inner.column_identity(column)}"

    def row_groups(self, file: DataFile) -> tuple[int, ...]:
        """Live rows of each row group."""
        return self._inner.row_groups(file)

    def read(
        self, file: DataFile, row_group: int, columns: Sequence[str], rows: tuple[int, int] | None = None
    ) -> pa.Table:
        """Read the rows of one row group in order, those without a key in the table's own order.

        Raises as the table's own `read`.
        """
        stored = self._inner.read(file, row_group, list(dict.fromkeys([*columns, *self._keys.columns])))
        wanted = stored.select(list(columns))
        if not any(nulls_of(stored.column(key)) for key in self._keys.columns):  # else the index refuses it
            wanted = self._in_order(stored, wanted)
        return wanted if rows is None else wanted.slice(rows[0], rows[1] - rows[0])

    def _in_order(self, stored: pa.Table, wanted: pa.Table) -> pa.Table:
        keys = self._keys
        times = times_of(stored.column(keys.time), keys.time)
        code = np.zeros(len(times), np.int64)
        if keys.entity is not None:
            code, _ = entities_of(stored.column(keys.entity), keys.entity)
        ascend = (code[1:] > code[:-1]) | ((code[1:] == code[:-1]) & (times[1:] >= times[:-1]))
        return wanted if ascend.all() else wanted.take(pa.array(np.lexsort((times, code))))


def in_order(snapshot: Snapshot, keys: Keys) -> Snapshot:
    """The snapshot as these keys read it."""
    return SortedRows(snapshot, keys) if keys.sorts and not isinstance(snapshot, SortedRows) else snapshot
