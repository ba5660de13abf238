"""Blocks that are kept are loaded once for all streams, and blocks are loaded as windows need them."""

import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np
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
from lstm.windows.order.order import EpochOrder
from lstm.windows.read import moves
from lstm.windows.read.kept import kept_bytes
from lstm.windows.read.memory import place_bytes, rank_bytes
from lstm.windows.read.prefetch import Prefetcher
from lstm.windows.read.shelf import KeepingShelf, PassingShelf

from .conftest import in_groups, sorted_table
from .drain import windows_of
from .test_reader import feature_reads, planned

GROUP_ROWS = 25


class Later(Executor):
    """Does nothing until it is told."""

    def __init__(self):
        self.waiting = []

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        self.waiting.append((future, function, args, kwargs))
        return future

    def run(self):
        for future, function, args, kwargs in self.waiting:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*args, **kwargs))
                except OSError as error:
                    future.set_exception(error)
        self.waiting.clear()


def test_streams_that_share_kept_blocks_fetch_each_row_group_once_and_agree_with_those_that_keep_none():
    snapshot = in_groups(sorted_table(), GROUP_ROWS)
    plan = planned(snapshot, lanes=3, pool=1)
    tight = WindowReader(snapshot, plan, ("x", "y"), 2 * kept_bytes(plan, 16) - 1)
    reader = WindowReader(snapshot, plan, ("x", "y"), 8 * kept_bytes(plan, 16))
    found = []
    with (
        WindowStream(plan, tight, "train", seed=1, batch_size=7) as passing,
        WindowStream(plan, reader, "train", seed=1, batch_size=7) as one,
        WindowStream(plan, reader, "train", seed=1, batch_size=7) as other,
    ):
        assert [isinstance(it._shelf, KeepingShelf) for it in (passing, one, other)] == [False, True, True]
        before = len(feature_reads(snapshot))
        for _ in range(3):
            found.append([[windows_of(batch) for batch in it] for it in (one, other)])
        assert one._shelf.values is other._shelf.values
        assert sorted(feature_reads(snapshot).values())[before:] == [1] * len(
            snapshot.row_groups(snapshot.files[0])
        )
        expected = [[windows_of(batch) for batch in passing] for _ in range(3)]
        replayed = one.batch(1, 2)
        assert max(feature_reads(snapshot).values()) > 1  # by the one that keeps none
        assert windows_of(replayed) == expected[1][2]
    assert found == [[epoch, epoch] for epoch in expected]
    assert reader.unreserved == reader.budget_bytes


def test_row_groups_go_once_every_block_that_needs_them_is_kept():
    snapshot = in_groups(sorted_table(), GROUP_ROWS)
    plan = planned(snapshot, lanes=3, pool=1)
    reader = WindowReader(snapshot, plan, ("x", "y"))
    with WindowStream(plan, reader, "train", seed=1, batch_size=7) as stream:
        list(stream)
        assert not reader._groups._entries
        assert reader._groups._held == 0


def test_a_block_that_could_not_be_loaded_is_loaded_when_it_is_asked_for_again():
    snapshot = in_groups(sorted_table(), GROUP_ROWS)
    plan = planned(snapshot, lanes=3, pool=1)
    read, broken = snapshot.read, True

    def fragile(file, row_group, columns, rows=None):
        if broken and row_group == 2:
            raise OSError("no route to the bucket")
        return read(file, row_group, columns, rows)

    snapshot.read = fragile
    reader = WindowReader(snapshot, plan, ("x", "y"))
    with WindowStream(plan, reader, "train", seed=1, batch_size=7) as stream:
        for _ in range(2):
            with pytest.raises(OSError, match="no route"):
                list(stream)
        broken = False
        assert isinstance(stream._shelf, KeepingShelf)
        before = stream.state_dict()["samples_consumed"]
        assert before + sum(len(batch) for batch in stream) == plan.windows("train")
        assert sum(len(batch) for batch in stream) == plan.windows("train")


def test_a_block_that_one_stream_gives_up_comes_to_another_that_waits_for_it():
    snapshot = in_groups(sorted_table(), GROUP_ROWS)
    plan = planned(snapshot, lanes=3, pool=1)
    reader = WindowReader(snapshot, plan, ("x", "y"))
    kept = reader.keep()
    block, never = np.array([0]), Later()
    with ThreadPoolExecutor(1) as able:
        leaving, staying = KeepingShelf(reader, kept, never, never), KeepingShelf(reader, kept, able, able)
        for shelf in (leaving, staying):
            shelf.hold(block)
            shelf.load(block, 0)
        assert len(never.waiting) == 1
        leaving.release(block)
        values, _ = staying.gather(np.array([3]))
    assert values[0, :, 0].tolist() == [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    never.run()  # what was given up writes nowhere
    assert kept.loaded(0) is not None


def test_a_first_batch_waits_for_the_blocks_of_its_windows_alone(monkeypatch):
    """The others' row groups cannot be read at all."""
    snapshot = in_groups(sorted_table(hours=480, names=("a",)), 24)
    plan = planned(snapshot, lanes=2, pool=8)
    reader = WindowReader(snapshot, plan, ("x", "y"), 2 * kept_bytes(plan, 16) - 1)
    windows = plan.split_windows("train")
    order = EpochOrder(windows.counts, lanes=2, pool=8, seed=0, epoch=0)
    firsts = [order.pool_windows(lane, 0)[:2] for lane in range(2)]
    needed = set(windows.locate(np.concatenate(firsts))[0].tolist())
    assert len(needed) < 16
    loaded, load = [], reader.load_block

    def only_needed(superblock, *arguments):
        loaded.append(superblock)
        if superblock not in needed:
            raise OSError("not of this batch")
        return load(superblock, *arguments)

    monkeypatch.setattr(reader, "load_block", only_needed)
    monkeypatch.setattr(WindowStream, "_threads", lambda stream: 1)
    with WindowStream(plan, reader, "train", seed=0, batch_size=4, prefetch=0) as stream:
        assert isinstance(stream._shelf, PassingShelf)
        batch = next(iter(stream))
        assert len(batch) == 4
    assert set(loaded) == needed


def test_blocks_of_more_copies_than_are_remembered_are_worked_out_anew_and_are_the_same(monkeypatch):
    snapshot = in_groups(sorted_table(), 3)  # a halo lies in several row groups
    plan = planned(snapshot, lanes=3, pool=1)
    few = moves.Blocks(plan)
    assert few.remembered
    pieces = len(plan.pieces)
    monkeypatch.setattr(moves, "FEW", pieces)
    many = moves.Blocks(plan)
    assert not many.remembered
    for number in range(len(plan.superblocks)):
        assert many[number].moves == few[number].moves
        assert many[number].groups == few[number].groups
    reader = WindowReader(snapshot, plan, ("x", "y"))
    assert reader.keep() is None
    copies = sum(len(move.rows) for number in range(len(plan.superblocks)) for move in few[number].moves)
    monkeypatch.setattr(moves, "FEW", copies)
    assert moves.Blocks(plan).remembered
    monkeypatch.setattr(moves, "FEW", copies - 1)
    assert not moves.Blocks(plan).remembered


def test_what_is_kept_leaves_room_for_a_stream_of_every_split():
    snapshot = in_groups(sorted_table(hours=400), 4)
    plan = make_plan(
        index_snapshot(snapshot, entity="name", time="t"),
        WindowSpec(context=4, horizon=2),
        SplitSpec(validation=0.1, test=0),
        OrderSpec(lanes=8, pool=1, weights={"a": 37}),
    )
    kept = kept_bytes(plan, 16)
    budget = 2 * kept  # a weight makes many windows, and where they lie takes more than the blocks
    reader = WindowReader(snapshot, plan, ("x", "y"), budget)
    rows, splits = kept // 16, ("train", "validation")
    assert sum(rank_bytes(plan, split, 1, 16) for split in splits) < budget
    assert kept + sum(place_bytes(plan, split, 1, rows, pool=1) for split in splits) > budget
    with (
        WindowStream(plan, reader, "train", seed=0, batch_size=4) as training,
        WindowStream(plan, reader, "validation", seed=0, batch_size=4, ordered=True) as validation,
    ):
        assert len(next(iter(training))) == len(next(iter(validation))) == 4


def test_a_stream_goes_on_at_its_cursor_after_an_interrupt_wherever_that_came(two_series, monkeypatch):
    plan, reader = two_series()
    with WindowStream(plan, reader, "train", seed=3, batch_size=4) as stream:
        expected = [windows_of(batch) for batch in stream]
        stream.set_epoch(0)
        assert windows_of(next(iter(stream))) == expected[0]
        stream._made.next(0, 4)  # taken, and an interrupt kept it from the consumer
        assert [windows_of(batch) for batch in stream] == expected[1:]
    start, working = threading.Thread.start, threading.active_count()

    def interrupted_start(thread):
        patch.undo()
        start(thread)
        raise KeyboardInterrupt  # while it waits for the thread to run

    with WindowStream(plan, reader, "train", seed=3, batch_size=4) as stream:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", interrupted_start)
            with pytest.raises(KeyboardInterrupt):
                next(iter(stream))
        assert [windows_of(batch) for batch in stream] == expected
    for _ in range(1000):
        if threading.active_count() == working:
            break
        time.sleep(0.01)  # nobody waits for that thread
    assert threading.active_count() == working
    stop, failing = Prefetcher.stop, [True]

    def interrupted(prefetcher):
        if failing:
            failing.pop()
            prefetcher._stopped = True
            prefetcher._todo.put(None)
            raise KeyboardInterrupt  # while it waits for the thread
        stop(prefetcher)

    with WindowStream(plan, reader, "train", seed=3, batch_size=4) as stream:
        next(iter(stream))
        with monkeypatch.context() as patch:
            patch.setattr(Prefetcher, "stop", interrupted)
            with pytest.raises(KeyboardInterrupt):
                stream.set_epoch(5)
        stream.set_epoch(0)
        assert [windows_of(batch) for batch in stream] == expected
