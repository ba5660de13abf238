"""The training rows of a table, row group by row group: all that statistics and vocabularies may see.

Only rows that stand in the table: those that a grid adds may be there because of a row after the split.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lstm.windows.index.read_group import read_group
from lstm.windows.plan.plan import Plan
from storage.tables.protocol import Snapshot


def training_groups(plan: Plan) -> Iterator[int]:
    """Row groups that hold rows before the end of the training split, in the snapshot's order."""
    end, pieces = training_end(plan), plan.pieces
    held = np.flatnonzero(pieces.group_rows)
    begins = np.minimum.reduceat(pieces.first_time, plan.segments.group_piece[held])
    yield from held[begins < end].tolist()


def training_end(plan: Plan) -> int:
    """Training rows are those before this time, whatever segment they are in; see `is_training`."""
    end = plan.splits["train"][1]
    assert end is not None
    return end


def is_training(plan: Plan, group: int, times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[n] which of the table's rows of a row group training may see: none of an entity that is held out."""
    before: NDArray[np.bool_] = times < training_end(plan)
    return before if plan.held_out is None else before & plan.trained_on[series_of_rows(plan, group)]


def training_tables(snapshot: Snapshot, plan: Plan, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The training rows of these columns, as the table holds them."""
    for group in training_groups(plan):
        table, times = read_group(plan.table_view_of(snapshot), plan.keys, plan.of_table, group, columns)
        yield table.filter(pa.array(is_training(plan, group, times)))


def series_of_rows(plan: Plan, group: int) -> NDArray[np.int32]:
    """[n] the series of each of the table's rows of a row group."""
    held, _ = plan.segments.group_pieces(group)
    return np.repeat(plan.pieces.series[held], plan.table_rows[held])
