"""A batch's times are the table's, however its windows are spaced, and the consumer's to keep."""

import pickle
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm.windows import (
    OrderSpec,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    index_snapshot,
    make_plan,
)
from lstm.windows.arrays.times import Counted
from lstm.windows.read.block_times import UNEVEN, BlockTimes, common_step

from .conftest import HOUR, in_groups

EVEN, SLOWER = np.arange(30) * HOUR, np.arange(30) * 3 * HOUR
UNEVENLY = np.cumsum(np.random.default_rng(2).integers(1, 5, 30)) * HOUR
LATE = np.where(np.arange(30) < 17, EVEN, EVEN + HOUR)  # even, but for one gap
WINDOW = WindowSpec(context=4, horizon=2)


def stream_of(kinds, order):
    """A shuffled stream of series with these times each."""
    names = np.repeat([f"s{number}" for number in range(len(kinds))], 30)
    times = np.concatenate(kinds)
    table = pa.table(
        {
            "name": pa.array(names),
            "t": pa.array(times, pa.timestamp("us", "UTC")),
            "x": pa.array(np.arange(len(times), dtype=np.float64)),
        }
    )
    snapshot = in_groups(table, 11)
    plan = make_plan(
        index_snapshot(snapshot, entity="name", time="t"), WINDOW, SplitSpec(validation=0, test=0), order
    )
    return WindowStream(plan, WindowReader(snapshot, plan, ["x"]), "train", seed=3, batch_size=8)


@pytest.mark.parametrize(
    "kinds", [[EVEN], [EVEN] * 3, [EVEN, SLOWER], [LATE], [EVEN, UNEVENLY, SLOWER, LATE], [UNEVENLY]]
)
@pytest.mark.parametrize("order", [OrderSpec(lanes=1, pool=1), OrderSpec(lanes=3, pool=2)])
def test_times_are_those_of_the_table(kinds, order):
    seen = 0
    with stream_of(kinds, order) as stream:
        for batch in [*stream, *stream]:
            assert (batch.times.dtype, batch.times.shape) == (np.int64, (len(batch), WINDOW.length))
            assert batch.times.flags.c_contiguous
            for series, start, times in zip(batch.series, batch.starts, batch.times, strict=True):
                assert times.tolist() == kinds[series][start : start + WINDOW.length].tolist()
                seen += 1
    assert seen == 2 * 25 * len(kinds)


def test_times_are_the_same_array_whenever_they_are_asked_for_and_the_consumers():
    with stream_of([EVEN] * 3, OrderSpec(lanes=3, pool=2)) as stream:
        batches = list(stream)
        before = [batch.times.copy() for batch in batches]
        batches[0].times[:] = 7
        assert batches[0].times.min() == batches[0].times.max() == 7
        assert all(
            np.array_equal(*pair) for pair in zip(before[1:], [it.times for it in batches[1:]], strict=True)
        )
        assert pickle.loads(pickle.dumps(batches[1])).times.tolist() == before[1].tolist()
        changed = batches[1].changed(epoch=5)
        assert (changed.epoch, changed.times.tolist()) == (5, before[1].tolist())


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_block_has_a_step_if_all_rows_of_its_parts_do(parts):
    times = [1000 * number + np.cumsum([0, *steps]) for number, steps in enumerate(parts)]
    begins = np.cumsum([0, *map(len, times[:-1])])
    steps = {later - earlier for part in times for earlier, later in pairwise(part.tolist())}
    found = common_step(np.concatenate(times), begins)
    assert found == (steps.pop() if len(steps) == 1 else UNEVEN)


def test_a_slot_that_is_filled_anew_counts_by_its_new_step():
    held = np.array([0, 1, 2, 3, 0, 2, 4, 6])
    times, rows = BlockTimes(held, 4, 3), np.array([0, 1, 4, 5])
    times.filled(0, 1)
    times.filled(1, 2)
    expected = [[0, 1, 2], [1, 2, 3], [0, 2, 4], [2, 4, 6]]
    found = times.gather(rows)
    assert isinstance(found, Counted)
    assert found.array().tolist() == expected
    held[4:] = [0, 5, 6, 9]
    times.filled(1, UNEVEN)
    again = times.gather(rows)
    assert isinstance(again, np.ndarray)
    assert again.tolist() == [*expected[:2], [0, 5, 6], [5, 6, 9]]
