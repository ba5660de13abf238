"""The usual step between rows, and all that follows from it, are the same however a table lies."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm.windows import OrderSpec, SplitSpec, WindowSpec, index_snapshot, make_plan, rolling_origin
from lstm.windows.errors import EmptySplit, TooFewRows
from lstm.windows.index import interval

from .conftest import HOUR, sorted_table
from .memory_table import MemorySnapshot
from .tables import relaid, samples

NAMES = ("a", "b", "c")


def a_file_per_tick(table):
    """The hours of a sorted table, each in a file of its own."""
    times = np.asarray(table.column("t").cast("int64"))
    return MemorySnapshot([[table.take(np.flatnonzero(times == hour))] for hour in np.unique(times)])


def planned(snapshot, entity, split, max_gap=None):
    time = "t"
    index = index_snapshot(snapshot, entity=entity, time=time, max_gap=max_gap)
    try:
        plan = make_plan(index, WindowSpec(context=1, horizon=1), split, OrderSpec(lanes=2))
    except (EmptySplit, TooFewRows) as refused:
        return index.interval, type(refused)
    return index.interval, plan.splits, plan.windows("train"), plan.windows("test")


@settings(max_examples=10)
@given(samples(layouts=("sorted",)), st.integers(0, 4), st.randoms(use_true_random=False))
def test_the_layout_decides_neither_the_interval_nor_the_splits(sample, embargo, random):
    split = SplitSpec(validation=0.2, test=0.2, embargo_rows=embargo)
    usual = planned(sample.snapshot, sample.entity, split)
    for layout in ("row by row", "by_time", "by_entity", "shuffled"):
        other = relaid(sample, layout, random.randrange(2**32))
        assert planned(other, sample.entity, split) == usual, layout
    gap = 1  # stretches of neighbouring ticks may lie in any row group
    usual = planned(sample.snapshot, sample.entity, split, gap)
    for layout in ("row by row", "scattered"):
        other = relaid(sample, layout, random.randrange(2**32))
        assert planned(other, sample.entity, split, gap) == usual, layout


@pytest.mark.parametrize("max_gap", [None, timedelta(hours=1)], ids=str)
def test_a_file_per_tick_has_the_interval_of_its_ticks(max_gap):
    table = sorted_table(hours=200, names=NAMES)
    split = SplitSpec(validation=0.2, test=0.2, embargo_rows=10)
    ticks = planned(a_file_per_tick(table), "name", split, max_gap)
    assert ticks == planned(MemorySnapshot([[table]]), "name", split, max_gap)
    assert ticks[0] == HOUR
    # the embargo counts hours, and so do folds
    assert ticks[1]["validation"][0] - ticks[1]["train"][1] == 10 * HOUR
    index = index_snapshot(a_file_per_tick(table), entity="name", time="t", max_gap=max_gap)
    fold = rolling_origin(index, folds=2, validation_rows=20, test_rows=20)[0]
    begin, end = (datetime.fromisoformat(time) for time in (fold.test_from, fold.test_before))
    assert end - begin == timedelta(hours=20)


def test_steps_between_pieces_are_counted_in_parts_as_in_one(monkeypatch):
    table = sorted_table(hours=50, names=NAMES)
    whole = index_snapshot(a_file_per_tick(table), entity="name", time="t")
    monkeypatch.setattr(interval, "_AT_ONCE", 7)
    parts = index_snapshot(a_file_per_tick(table), entity="name", time="t")
    assert parts.interval == whole.interval == HOUR
