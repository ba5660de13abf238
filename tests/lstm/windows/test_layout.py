"""The layout is told from the table, and what it will cost to read is what a stream then measures."""

from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import (
    OrderSpec,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    index_snapshot,
    make_plan,
)
from lstm.windows.read.expected import expected_reading
from lstm.windows.read.kept import kept_bytes
from lstm.windows.read.layout import clustered, kind_of, layout_of
from lstm.windows.read.memory import place_bytes, rank_bytes

from .conftest import HOUR
from .memory_table import MemorySnapshot

NAMES, DAYS, DAY = 6, 20, 24


def stretch(name, day):
    """One day of one entity."""
    hours = np.arange(day * DAY, (day + 1) * DAY)
    return pa.table(
        {
            "name": pa.array([f"n{name}"] * DAY),
            "t": pa.array(hours * HOUR, pa.timestamp("us", "UTC")),
            "x": pa.array(np.random.default_rng(name).standard_normal(DAY)),
        }
    )


def laid(layout):
    """The same rows as files of one row group each, which holds six days of entities."""
    every = [(name, day) for name in range(NAMES) for day in range(DAYS)]
    if layout == "by entity":
        every = [(name, day) for name in (3, 0, 5, 1, 4, 2) for day in range(DAYS)]
    elif layout == "by time":
        every = [(name, day) for day in range(DAYS) for name in range(NAMES)]
    elif layout == "scattered":  # each file holds some day of each entity, not the same one
        random = np.random.default_rng(3)
        days = [random.permutation(DAYS).tolist() for _ in range(NAMES)]
        every = [(name, days[name][file]) for file in range(DAYS) for name in range(NAMES)]
    tables = [
        pa.concat_tables([stretch(*it) for it in every[at : at + NAMES]])
        for at in range(0, len(every), NAMES)
    ]
    return MemorySnapshot([[table] for table in tables])


LAYOUTS = ["sorted", "by entity", "by time", "scattered"]


def planned(layout, *, stride=1, lanes=2, pool=2):
    snapshot = laid(layout)
    plan = make_plan(
        index_snapshot(snapshot, entity="name", time="t", max_gap=None),
        WindowSpec(context=8, horizon=4, stride=stride),
        SplitSpec(validation=0, test=0.2),
        OrderSpec(lanes=lanes, pool=pool),
    )
    return snapshot, plan


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_is_told_from_the_rows(layout):
    _, plan = planned(layout)
    assert kind_of(plan) == layout
    assert kind_of(clustered(plan)) == "sorted"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_clustered_plan_has_the_same_windows(layout):
    _, plan = planned(layout)
    other = clustered(plan)
    assert len(other.superblocks) == len(plan.superblocks)
    assert np.array_equal(other.segments.first, plan.segments.first)
    assert {split: other.windows(split) for split in plan.splits} == {
        split: plan.windows(split) for split in plan.splits
    }


@pytest.mark.parametrize("ordered", [False, True], ids=["shuffled", "ordered"])
@pytest.mark.parametrize("room", [0, 5, 1000], ids=lambda groups: f"room for {groups} row groups")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_expected_is_what_a_stream_measures(layout, room, ordered, monkeypatch):
    # one loader: threads that need one row group at the same moment share it, which of so few is a part
    monkeypatch.setattr(WindowStream, "_threads", lambda stream: 1)
    snapshot, plan = planned(layout)
    row_bytes = WindowReader(snapshot, plan, ("x",)).row_bytes
    blocks = rank_bytes(plan, "train", 1, row_bytes, ordered=ordered)
    budget = blocks + room * DAY * NAMES * row_bytes
    expected = expected_reading(plan, "train", row_bytes=row_bytes, budget_bytes=budget, ordered=ordered)
    reader = WindowReader(snapshot, plan, ("x",), budget)
    with WindowStream(plan, reader, "train", seed=0, batch_size=16, ordered=ordered) as stream:
        if room < 1000:
            assert reader.unreserved == budget - blocks
        else:  # all blocks are kept
            assert reader.unreserved < budget - kept_bytes(plan, row_bytes)
        for _ in range(1 if ordered else 6):
            for _ in stream:
                pass
        measured, fetched = stream.read_amplification, reader.loads
    if ordered:  # nothing is read beyond the epoch
        assert (fetched, measured) == (expected.fetched, expected.amplification)
    elif room == 0:  # the first pools of one more epoch count too
        assert measured == pytest.approx(expected.amplification, rel=0.15)
    else:  # of so small a table much is still in memory from the epoch before
        assert 0.7 * expected.amplification <= measured * (6 if room == 1000 else 1)
        assert measured <= 1.05 * expected.amplification


def test_with_room_for_all_nothing_is_read_twice_and_scattered_rows_cost_most():
    cost = {}
    for layout in LAYOUTS:
        _, plan = planned(layout)
        found = layout_of(plan, "train", row_bytes=12, budget_bytes=2**30)
        assert found.reading.amplification == 1.0
        tight = layout_of(plan, "train", row_bytes=12, budget_bytes=0)
        assert tight.reading.fetched == tight.reading.uses
        cost[layout] = (tight.reading.worst, tight.saving)
    assert cost["sorted"][1] == 0.0
    assert cost["scattered"][0] == max(worst for worst, _ in cost.values()) > 3
    assert cost["scattered"][1] > 0.5


def test_the_halo_is_what_a_block_reads_beyond_its_superblock():
    _, plan = planned("sorted", lanes=1)
    blocks = plan.split_windows("train").superblocks
    length = plan.window.length
    rows = np.diff(plan.superblocks.first)[blocks]
    found = layout_of(plan, "train", row_bytes=12, budget_bytes=2**30).halo
    assert 1 < found <= 1 + (length - 1) / rows.min()


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_share_what_is_expected(ranks):
    _, plan = planned("by time", lanes=6)
    options = {"row_bytes": 12, "budget_bytes": 0, "ranks": ranks}
    parts = [expected_reading(plan, "train", rank=rank, **options) for rank in range(ranks)]
    assert (
        sum(part.uses for part in parts) == expected_reading(plan, "train", row_bytes=12, budget_bytes=0).uses
    )


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_memory_is_what_a_stream_reserves(ranks):
    snapshot, plan = planned("sorted", lanes=6)
    row_bytes = WindowReader(snapshot, plan, ("x",)).row_bytes
    reader = WindowReader(snapshot, plan, ("x",), rank_bytes(plan, "train", ranks, row_bytes))
    with WindowStream(plan, reader, "train", seed=0, batch_size=4, rank=ranks - 1, ranks=ranks):
        assert reader.unreserved == 0


@pytest.mark.parametrize("streams", [1, 3])
def test_a_budget_that_holds_all_blocks_twice_keeps_them_once_for_all_streams(streams):
    snapshot, plan = planned("sorted", lanes=6)
    row_bytes = WindowReader(snapshot, plan, ("x",)).row_bytes
    kept = kept_bytes(plan, row_bytes)
    places = place_bytes(plan, "train", 1, len(plan.superblocks) * int(plan.block_rows.max()), pool=2)
    for budget, keeps in ((2 * kept * streams, True), (2 * kept - 1, False)):
        reader = WindowReader(snapshot, plan, ("x",), budget)
        with ExitStack() as stack:
            for seed in range(streams if keeps else 1):
                stack.enter_context(WindowStream(plan, reader, "train", seed=seed, batch_size=4))
            used = kept + streams * places if keeps else rank_bytes(plan, "train", 1, row_bytes)
            assert reader.unreserved == budget - used
        assert reader.unreserved == budget
