"""A small sorted table of two series, planned as a test wants it."""

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import (
    OrderSpec,
    SplitSpec,
    TableWindows,
    WindowReader,
    WindowSpec,
    index_snapshot,
    make_plan,
)

from .memory_table import MemorySnapshot

HOUR = 3_600_000_000


def sorted_table(hours=40, names=("a", "b"), first=0):
    """Hourly rows of each name, sorted; x counts rows, y is random with gaps."""
    rows = hours * len(names)
    random = np.random.default_rng(5)
    times = (first + np.tile(np.arange(hours), len(names))) * HOUR
    return pa.table(
        {
            "name": pa.array(np.repeat(np.array(names), hours)),
            "t": pa.array(times, pa.timestamp("us", "UTC")),
            "x": pa.array(np.arange(rows, dtype=np.float64)),
            "y": pa.array(random.standard_normal(rows), mask=random.random(rows) < 0.2),
        }
    )


def in_groups(table, rows):
    """One file, cut into row groups."""
    return MemorySnapshot([[table.slice(at, rows) for at in range(0, table.num_rows, rows)]])


@pytest.fixture
def two_series():
    """Plan and reader of two series of 40 hours."""

    def make(
        *, lanes=4, pool=2, group_rows=25, split=None, window=None, budget=2**30, last="short", snapshot=None
    ):
        snapshot = snapshot or in_groups(sorted_table(), group_rows)
        plan = make_plan(
            index_snapshot(snapshot, entity="name", time="t"),
            window or WindowSpec(context=4, horizon=2),
            split or SplitSpec(validation=0.2, test=0.2),
            OrderSpec(lanes=lanes, pool=pool, last=last),
        )
        return plan, WindowReader(snapshot, plan, ("x", "y"), budget)

    return make


@pytest.fixture
def windows(two_series):
    """Two series of 40 hours, 38 training windows."""
    snapshot = in_groups(sorted_table(), 25)
    plan, reader = two_series(snapshot=snapshot)
    return TableWindows(snapshot, plan, reader)
