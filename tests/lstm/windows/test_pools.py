"""What fails, or is interrupted, while pools are asked for takes no block and no place for good."""

import random
import threading
import time

import pytest

from lstm.windows import WindowReader, WindowStream
from lstm.windows.read import pools, prefetch
from lstm.windows.read.memory import rank_bytes
from lstm.windows.read.pools import Pools
from lstm.windows.read.shelf import PassingShelf, Shelf

from .conftest import in_groups, sorted_table
from .drain import windows_of
from .test_reader import planned


@pytest.fixture
def tight():
    """A plan of several lanes, and a reader with just enough memory for their pools."""
    snapshot = in_groups(sorted_table(), 5)
    plan = planned(snapshot, lanes=8, pool=2)
    row_bytes = WindowReader(snapshot, plan, ("x", "y")).row_bytes
    return plan, WindowReader(snapshot, plan, ("x", "y"), rank_bytes(plan, "train", 1, row_bytes))


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("at_once", [1, 20, 65_536])
@pytest.mark.parametrize("failing", ["_place", "_following", "_work_out"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_stream_goes_on_after_a_failure_wherever_pools_were(
    tight, monkeypatch, error, failing, at_once, prefetch
):
    plan, reader = tight
    monkeypatch.setattr(pools, "_WORKED_OUT_AT_ONCE", at_once)
    with WindowStream(plan, reader, "train", seed=1, batch_size=7) as stream:
        expected = [windows_of(batch) for batch in stream]
    sound, calls, failed, working = getattr(Pools, failing), [0], 0, []

    def flaky(self, *arguments):
        calls[0] += 1
        if calls[0] % 7 == 6:
            raise error("while pools are asked for")
        return sound(self, *arguments)

    monkeypatch.setattr(Pools, failing, flaky)
    work_out = Pools._work_out

    def slowly(self, *arguments):
        working.append(1)
        try:
            time.sleep(0.001)
            work_out(self, *arguments)
        finally:
            working.pop()

    monkeypatch.setattr(Pools, "_work_out", slowly)
    with WindowStream(plan, reader, "train", seed=1, batch_size=7, prefetch=prefetch) as stream:
        assert isinstance(stream._shelf, PassingShelf)
        found = []
        while len(found) < len(expected) and failed < 10:
            try:
                found += [windows_of(batch) for batch in [next(iter(stream))]]
            except error:
                failed += 1
                assert not working, "no job of before may write into the places of pools"
                assert not stream._shelf._held
        monkeypatch.setattr(Pools, failing, sound)
        assert found == expected[: len(found)]
        stream.set_epoch(0)
        assert [windows_of(batch) for batch in stream] == expected
    assert failed


@pytest.fixture
def two_places():
    """A plan of four blocks that one lane walks through, and a reader with memory for two of them."""
    snapshot = in_groups(sorted_table(hours=300), 150)
    plan = planned(snapshot, lanes=1, pool=1)
    row_bytes = WindowReader(snapshot, plan, ("x", "y")).row_bytes
    return plan, WindowReader(snapshot, plan, ("x", "y"), rank_bytes(plan, "train", 1, row_bytes))


def test_blocks_that_have_come_are_noticed_before_anybody_gathers_from_them(two_places):
    plan, reader = two_places
    with WindowStream(plan, reader, "train", seed=1, batch_size=2, prefetch=0) as stream:
        shelf, batches = stream._shelf, iter(stream)
        assert isinstance(shelf, PassingShelf)
        for _ in range(2):
            next(batches)  # the second one has what comes after this pool loaded
        held = list(shelf._held.values())
        assert len(held) == 2
        assert shelf.loading
        for it in held:
            it.loaded.result()
        for _ in range(40):  # of the 70 of this pool, looked up 32 at once
            next(batches)
        assert not shelf.loading
        assert list(shelf._held.values()) == held


@pytest.mark.parametrize("ahead", [2, 8])
def test_no_block_gives_up_its_place_while_two_threads_copy_for_a_consumer_that_is_back_at_once(
    monkeypatch, two_places, ahead
):
    plan, reader = two_places
    gather, pause, makers = Shelf.gather, random.Random(0), []

    def slow(shelf, *arguments):
        makers.append(threading.current_thread() is threading.main_thread())
        time.sleep(pause.choice([0, 0, 1e-3]))
        return gather(shelf, *arguments)

    monkeypatch.setattr(Shelf, "gather", slow)
    monkeypatch.setattr(prefetch, "_HANDED_OVER_S", float("inf"))
    with WindowStream(plan, reader, "train", seed=1, batch_size=4, prefetch=ahead) as stream:
        assert isinstance(stream._shelf, PassingShelf)
        for epoch in range(4):
            for index, batch in enumerate(stream):
                assert windows_of(batch) == windows_of(stream.batch(epoch, index))
    assert len(set(makers)) == 2
