"""Rows as a table, and our stream of its windows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmarks.window_peers.rows import COLUMNS, CONTEXT, FEATURES, HORIZON, Rows
from lstm.windows import OrderSpec, Plan, SplitSpec, WindowSpec, WindowStream, index_snapshot, make_plan
from storage.tables import Lake, Snapshot, create_table

HOUR_US = 3_600_000_000


def table_of(lake: Lake, uri: str, rows: Rows, row_group_rows: int) -> Snapshot:
    """The rows as a Delta table, sorted by series and time."""
    series, count, _ = rows.values.shape
    flat = rows.values.reshape(-1, FEATURES)
    columns: dict[str, Any] = {
        "entity": pa.array(np.repeat(np.arange(series), count)),
        "time": pa.array(np.tile(np.arange(count), series) * HOUR_US, pa.timestamp("us", "UTC")),
        **{name: pa.array(flat[:, number]) for number, name in enumerate(COLUMNS)},
    }
    content = pa.table(columns)
    table = create_table(lake, uri, content.schema, format="delta", row_group_rows=row_group_rows)
    table.append(content, transaction="all")
    return table.snapshot()


def plan_of(snapshot: Snapshot, stride: int, lanes: int = 48) -> Plan:
    """All windows are training windows."""
    return make_plan(
        index_snapshot(snapshot, entity="entity", time="time"),
        WindowSpec(context=CONTEXT, horizon=HORIZON, stride=stride),
        SplitSpec(validation=0, test=0),
        OrderSpec(lanes=lanes),
    )


def tensors(stream: WindowStream) -> Iterator[torch.Tensor]:
    """An epoch."""
    for batch in stream:
        yield torch.from_numpy(batch.values)
