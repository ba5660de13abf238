"""Scoring starts from the newest rows of every series."""

import numpy as np
import pyarrow as pa

from lstm.windows import (
    OrderSpec,
    SplitSpec,
    WindowReader,
    WindowSpec,
    index_snapshot,
    last_contexts,
    make_plan,
)

from .conftest import HOUR
from .memory_table import MemorySnapshot


def table(name, times):
    return pa.table({"name": [name] * len(times), "t": list(times), "x": [float(t) for t in times]})


def test_each_series_ends_with_its_newest_segment():
    a = [*range(0, 30), 50, 51, 52, 53]  # a gap, then 4 rows
    b = [*range(0, 60, 2)]  # another interval
    c = [*range(0, 30), 70, 71]  # too short since its gap
    snapshot = MemorySnapshot([[table("c", c)], [table("a", a[:20]), table("a", a[20:]), table("b", b)]])
    plan = make_plan(
        index_snapshot(snapshot, entity="name", time="t", max_gap=2),
        WindowSpec(context=3, horizon=2),
        SplitSpec(validation=0, test=0),
        OrderSpec(),
    )
    found = last_contexts(plan, WindowReader(snapshot, plan, ("x",)))
    assert found.skipped == ("c",)
    batch = found.batch
    assert batch.series.tolist() == [0, 1]
    assert batch.times.tolist() == [[51, 52, 53, 54, 55], [54, 56, 58, 60, 62]]
    assert batch.values[:, :3, 0].tolist() == [[51, 52, 53], [54, 56, 58]]
    assert np.isnan(batch.values[:, 3:]).all()
    assert batch.starts.tolist() == [31, 27]
    assert (batch.size, batch.positions.tolist()) == (2, [0, 1])


def test_a_context_of_one_row_goes_on_by_the_tables_interval(two_series):
    plan, reader = two_series(window=WindowSpec(context=1, horizon=3))
    found = last_contexts(plan, reader)
    assert found.skipped == ()
    assert found.batch.times.tolist() == [[39 * HOUR, 40 * HOUR, 41 * HOUR, 42 * HOUR]] * 2


def test_irregular_times_go_on_by_their_median_step():
    snapshot = MemorySnapshot([[table("a", [0, 3, 4, 7, 10, 11, 14])]])
    plan = make_plan(
        index_snapshot(snapshot, entity="name", time="t"),
        WindowSpec(context=4, horizon=2),
        SplitSpec(validation=0, test=0),
        OrderSpec(),
    )
    found = last_contexts(plan, WindowReader(snapshot, plan, ("x",)))
    assert found.batch.times.tolist() == [[7, 10, 11, 14, 17, 20]]
