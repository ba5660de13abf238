"""Read one row group of a snapshot by the number that pieces know it by, in the order that windows need."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lstm.windows.index.grid_rows import GridRows
from lstm.windows.index.segments import Pieces
from lstm.windows.table.columns import times_of
from lstm.windows.table.keys import Keys
from lstm.windows.table.sorted_rows import in_order
from storage.tables.protocol import Snapshot


def read_group(
    snapshot: Snapshot,
    keys: Keys,
    pieces: Pieces,
    group: int,
    columns: Sequence[str] = (),
    rows: tuple[int, int] | None = None,
) -> tuple[pa.Table, NDArray[np.int64]]:
    """The rows of a row group, or a span of them, by entity and time.

    Args:
        snapshot: the table's own, or as `keys` read it; on a grid, what `Plan.view_of` gives.
        keys: they say whether row groups are sorted as they are read.
        pieces: of the snapshot.
        group: one of their row groups.
        columns: which of the table's are wanted beside the time column.
        rows: first and end; None: all.

    Returns:
        The columns, the time column last unless it is one of them, and the time [n] of each row.

    Raises as the table's own `read`.
    """
    file, number = pieces.row_group(group)
    wanted = list(dict.fromkeys([*columns, keys.time]))
    seen = snapshot if isinstance(snapshot, GridRows) else in_order(snapshot, keys)
    assert pieces.stored is None or seen is snapshot, "a snapshot on a grid is read through Plan.view_of"
    table = seen.read(snapshot.files[file], number, wanted, rows)
    return table, times_of(table.column(keys.time), keys.time)
