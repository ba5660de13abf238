"""Every window of every split of a real table, bit for bit, against a naive reading of its rows."""

from datetime import timedelta

import numpy as np
import pyarrow as pa

from lstm.windows import (
    SPLITS,
    OrderSpec,
    Plan,
    SplitSpec,
    WindowReader,
    WindowSpec,
    index_snapshot,
    make_plan,
)
from storage.tables import Snapshot

from .drain import drain
from .tables import known, naive_windows, on_grid

SPLIT = SplitSpec(validation=0.2, test=0.2)


def check_windows(
    snapshot: Snapshot,
    rows: pa.Table,
    columns: list[str],
    *,
    window: WindowSpec,
    max_gap: timedelta | None = None,
    grid: timedelta | None = None,
    superblock_rows: int | None = None,
) -> Plan:
    """Compare the windows of a snapshot with keys `entity` and `time` with those of its live rows."""
    index = index_snapshot(snapshot, entity="entity", time="time", max_gap=max_gap, grid=grid)
    plan = make_plan(index, window, SPLIT, OrderSpec(lanes=6, pool=2, superblock_rows=superblock_rows))
    reader = WindowReader(snapshot, plan, (*columns, *(["observed"] if grid else [])))
    times = rows["time"].cast(pa.timestamp("us", rows["time"].type.tz)).cast(pa.int64()).to_pylist()
    values = [
        [np.nan if it is None else it for it in rows[name].cast(pa.float64()).to_pylist()] for name in columns
    ]
    naive = list(zip(rows["entity"].to_pylist(), times, *values, strict=True))
    gap = max_gap and max_gap // timedelta(microseconds=1)
    if grid:
        stored, naive = naive, on_grid(naive, grid // timedelta(microseconds=1), gap)
    for split in SPLITS:
        expected = naive_windows(naive, window, gap, plan.splits[split])
        if grid:
            expected = known(expected, stored, plan.splits[split][1])
        assert len(expected) == plan.windows(split) > 0
        seen = [
            ((series, start), found)
            for *_, windows in drain(plan, reader, split, ranks=2, seed=1, batch_size=256)
            for _, series, start, *found in windows
        ]
        assert len(seen) == len(expected)
        assert dict(seen) == {key: [t.tobytes(), v.tobytes()] for key, (t, v) in expected.items()}
    return plan
