"""Row groups are fetched once while memory allows, and memory is bounded by superblocks."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

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
from lstm.windows.arrays.gather import gather
from lstm.windows.errors import InfiniteValues
from lstm.windows.features.row_groups import RowGroups, Rows
from lstm.windows.read.memory import rank_bytes
from lstm.windows.read.shelf import PassingShelf
from storage.tables.errors import SnapshotDamaged

from .conftest import in_groups, sorted_table


def feature_reads(snapshot):
    return {key: count for key, count in snapshot.reads.items() if "x" in key[2]}


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e300])
def test_an_infinity_in_any_row_that_is_read_is_refused_by_name(value):
    """Also beyond the training rows, which the scaling has seen: one would turn all weights into NaN."""
    table = sorted_table()
    x = table["x"].to_numpy().copy()
    x[75] = value  # of b, hour 35
    snapshot = in_groups(table.set_column(2, "x", pa.array(x)), 25)
    reader = WindowReader(snapshot, planned(snapshot), ("y", "x"))
    says = "column 'x' holds 1 infinite .* 1970-01-02T11:00:00Z of series 'b'; make them null"
    with pytest.raises(InfiniteValues, match=says):
        reader.read(np.array([74]), 3)
    assert len(reader.read(np.array([0]), 3).values) == 3


def planned(snapshot, **order):
    return make_plan(
        index_snapshot(snapshot, entity="name", time="t"),
        WindowSpec(context=4, horizon=2),
        SplitSpec(validation=0, test=0),
        OrderSpec(**order),
    )


def test_each_row_group_is_fetched_once_where_memory_allows():
    snapshot = in_groups(sorted_table(), 25)
    plan = planned(snapshot, lanes=4, pool=2)
    assert len(plan.superblocks) > len(snapshot.row_groups(snapshot.files[0]))
    reader = WindowReader(snapshot, plan, ("x", "y"))
    with WindowStream(plan, reader, "train", seed=0, batch_size=4, prefetch=0) as stream:
        assert stream.read_amplification == 0.0
        for _ in range(3):
            assert sum(len(batch) for batch in stream) == plan.windows("train")
            assert stream.read_amplification <= 1.0
    assert set(feature_reads(snapshot).values()) == {1}
    assert reader.loads == 4


def test_the_default_budget_fetches_the_demos_row_groups_once():
    """Three airports, a year of hours, the demo's windows and columns; row groups as our tables cut them."""
    rows = sorted_table(hours=8760, names=("EWR", "JFK", "LGA"))
    for number in range(6):
        rows = rows.append_column(f"past{number}", rows["y"])
    snapshot = in_groups(rows, 4096)
    index = index_snapshot(snapshot, entity="name", time="t", max_gap=timedelta(hours=1))
    split = SplitSpec(validation=0.15, test=0.15)
    plan = make_plan(index, WindowSpec(context=168, horizon=24), split, OrderSpec())
    reader = WindowReader(snapshot, plan, ["x", "y", *(f"past{number}" for number in range(6))])
    with (
        WindowStream(plan, reader, "train", seed=0, batch_size=256) as training,
        WindowStream(plan, reader, "validation", seed=0, batch_size=256) as validation,
    ):
        for _ in range(2):
            for name, stream in (("train", training), ("validation", validation)):
                assert sum(len(batch) for batch in stream) == plan.windows(name)
        assert training.read_amplification <= 1.0
    assert set(feature_reads(snapshot).values()) == {1}


@pytest.mark.parametrize("group_rows", [25, 40])
def test_fetching_again_is_told_and_does_not_grow_with_epochs(group_rows):
    snapshot = in_groups(sorted_table(), group_rows)
    plan = planned(snapshot, lanes=4, pool=2)

    def just_enough(*, ordered):
        """A budget that keeps no row group."""
        held = rank_bytes(plan, "train", 1, 16, ordered=ordered)
        return WindowReader(snapshot, plan, ("x", "y"), budget_bytes=held)

    needed = -(-80 // group_rows)
    reader = just_enough(ordered=True)
    with WindowStream(plan, reader, "train", seed=0, batch_size=4, ordered=True) as stream:
        for epoch in range(1, 4):  # nothing is loaded beyond an epoch, so each can be counted by itself
            list(stream)
            assert stream.read_amplification == pytest.approx(reader.loads / (epoch * needed))
            assert 1.5 < stream.read_amplification < 20
    after = []
    with WindowStream(plan, just_enough(ordered=False), "train", seed=0, batch_size=4) as stream:
        for _ in range(6):
            list(stream)
            after.append(stream.read_amplification)
    assert min(after) > 1.5
    assert max(after) < 2 * min(after)


def test_ranks_fetch_only_what_their_lanes_need():
    """Each superblock is a row group here: one rank reads its own row groups, and halos of the next ones."""
    snapshot = in_groups(sorted_table(hours=480, names=("a",)), 24)
    plan = planned(snapshot, lanes=4, pool=1)
    assert len(plan.superblocks) == 20
    reader = WindowReader(snapshot, plan, ("x", "y"))
    with WindowStream(plan, reader, "train", seed=0, batch_size=16, rank=0, ranks=4, ordered=True) as stream:
        list(stream)
    own = len(feature_reads(snapshot))
    assert own <= 2 * len(plan.superblocks) // 4


def test_memory_stays_within_the_budget():
    snapshot = in_groups(sorted_table(hours=2000), 20)
    plan = planned(snapshot, lanes=2, pool=1)
    held = rank_bytes(plan, "train", 1, 4 * 2 + 8)
    reader = WindowReader(snapshot, plan, ("x", "y"), budget_bytes=held + 20 * 16)
    with WindowStream(plan, reader, "train", seed=0, batch_size=32) as stream:
        for _ in stream:
            assert reader._groups._held <= 20 * 16
        pools, shelf = stream._pools, stream._shelf
        arrays = (shelf.values, shelf.times, pools._rows, pools._series, pools._starts)
        assert sum(array.nbytes for array in arrays) <= held
    assert reader.unreserved == reader.budget_bytes


@pytest.mark.parametrize(("budget", "threads"), [(2**30, 4), (4000, 2)])
def test_small_row_groups_are_loaded_by_more_threads_than_two(two_series, budget, threads):
    snapshot = in_groups(sorted_table(), 5)
    read, lock, together = snapshot.read, threading.Lock(), threading.Event()
    running, most = set(), 0

    def counted(*arguments):
        nonlocal most
        with lock:
            running.add(threading.get_ident())
            most = max(most, len(running))
            if most == 4:
                together.set()
        together.wait(0.05 if threads == 2 else 600)
        with lock:
            running.discard(threading.get_ident())
        return read(*arguments)

    plan, reader = two_series(snapshot=snapshot, budget=budget)
    snapshot.read = counted
    with WindowStream(plan, reader, "train", seed=0, batch_size=8, prefetch=0) as stream:
        next(iter(stream))
    assert min(most, 4) == threads


def test_a_failed_read_is_raised_and_can_be_tried_again():
    snapshot = in_groups(sorted_table(), 25)
    plan = planned(snapshot, lanes=4, pool=2)
    read, broken = snapshot.read, threading.Event()

    def flaky(file, row_group, columns, rows=None):
        if broken.is_set():
            raise SnapshotDamaged("gone")
        return read(file, row_group, columns)

    snapshot.read = flaky
    reader = WindowReader(snapshot, plan, ("x",))
    with WindowStream(plan, reader, "train", seed=0, batch_size=4) as stream:
        broken.set()
        with pytest.raises(SnapshotDamaged):
            next(iter(stream))
        broken.clear()
        assert sum(len(batch) for batch in stream) == plan.windows("train")


def test_threads_that_want_one_row_group_decode_it_once():
    started, go = threading.Barrier(4), threading.Event()
    loads = []

    def load(group):
        loads.append(group)
        assert go.wait(600)
        return Rows(np.zeros((1, 1), np.float32), np.zeros(1, np.int64))

    groups = RowGroups(load, lambda: 10**6)
    found = []

    def want():
        started.wait(600)
        found.append(groups.get(7))

    threads = [threading.Thread(target=want) for _ in range(3)]
    for thread in threads:
        thread.start()
    started.wait(600)
    go.set()
    for thread in threads:
        thread.join()
    assert loads == [7]
    assert len({id(rows) for rows, _ in found}) == 1
    assert sorted(fetched for _, fetched in found) == [False, False, True]


def test_waiting_is_measured():
    snapshot = in_groups(sorted_table(), 25)
    plan = planned(snapshot, lanes=4, pool=2)
    with WindowStream(plan, WindowReader(snapshot, plan, ("x",)), "train", seed=0, batch_size=4) as stream:
        assert stream.waited_s == 0
        list(stream)
        first = stream.waited_s
        assert first > 0
        stream.set_epoch(5)
        assert stream.waited_s == first


def test_gather_copies_windows_and_checks_their_bounds():
    rows = np.arange(20.0).reshape(10, 2)
    windows = gather(rows, np.array([7, 0, 7]), 3)
    assert windows.tolist() == [rows[7:].tolist(), rows[:3].tolist(), rows[7:].tolist()]
    windows[:] = 0
    assert rows[0, 1] == 1.0
    assert gather(rows, np.array([], np.int64), 3).shape == (0, 3, 2)
    for outside in (-1, 8):
        with pytest.raises(IndexError, match="of 10"):
            gather(rows, np.array([outside]), 3)


def test_a_block_under_way_keeps_its_slot_until_it_is_loaded(two_series):
    plan, _ = two_series()
    began, released, early = threading.Event(), threading.Event(), []

    class Slow:
        """Notices whether its slot was given away while it wrote."""

        width = 1

        def __init__(self):
            self.plan = plan

        def at_hand(self, superblock):
            return False

        def load_block(self, superblock, values, times, told, moments):
            began.set()
            early.append(released.wait(0.2))

    with ThreadPoolExecutor(1) as executor:
        shelf = PassingShelf(Slow(), 1, 1, executor, executor)
        shelf.hold(np.array([0]))
        shelf.load(np.array([0]), 0)
        assert began.wait(600)
        shelf.release(np.array([0]))
        released.set()
    assert early == [False]
