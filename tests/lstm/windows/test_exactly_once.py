"""Every window comes exactly once per epoch, with the table's own bits, whatever the layout and the ranks."""

from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lstm.windows import (
    SPLITS,
    OrderSpec,
    Plan,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    index_snapshot,
    make_plan,
)
from lstm.windows.errors import EmptySplit, TooFewRows
from lstm.windows.read.memory import rank_bytes
from lstm.windows.table.sorted_rows import in_order

from .drain import drain
from .reference_order import epoch_order
from .tables import COLUMNS, naive_windows, samples

WINDOWS = st.builds(
    WindowSpec, context=st.integers(1, 5), horizon=st.integers(1, 4), stride=st.integers(1, 3)
)
SHARES = st.builds(
    SplitSpec,
    validation=st.sampled_from([0, 0.2]),
    test=st.sampled_from([0, 0.3]),
    embargo_rows=st.integers(0, 2),
)
GAPS = st.sampled_from([None, 1, 2, 5])


def plan_for(sample, window, split, order, max_gap=None):
    index = index_snapshot(sample.snapshot, entity=sample.entity, time="t", max_gap=max_gap)
    try:
        return make_plan(index, window, split, order)
    except (TooFewRows, EmptySplit):
        assume(False)


ORDERS = st.builds(
    OrderSpec,
    lanes=st.integers(8, 12),
    pool=st.integers(1, 3),
    superblock_rows=st.sampled_from([None, None, 1, 2, 7]),
)


@given(samples(), WINDOWS, SHARES, GAPS, ORDERS, st.sampled_from([1, 2, 3, 8]))
@settings(deadline=None, max_examples=80)
def test_windows_and_their_bits_equal_a_naive_reading(sample, window, split, max_gap, order, ranks):
    plan = plan_for(sample, window, split, order, max_gap)
    plan = Plan.from_bytes(plan.to_bytes())  # what a resumed run works with
    reader = WindowReader(sample.snapshot, plan, COLUMNS)
    for name in SPLITS:
        expected = naive_windows(sample.rows, window, max_gap, plan.splits[name])
        assert plan.windows(name) == len(expected)
        if not expected:
            continue
        seen = []
        for *_, windows in drain(plan, reader, name, ranks=ranks, seed=3, batch_size=7):
            for _, series, start, times, values in windows:
                seen.append((series, start))
                assert times == expected[series, start][0].tobytes()
                assert values == expected[series, start][1].tobytes()
        assert sorted(seen) == sorted(expected)


@given(samples(layouts=("scattered",)), WINDOWS, SHARES, GAPS, ORDERS, st.sampled_from([1, 3]))
@settings(deadline=None, max_examples=60)
def test_rows_scattered_over_the_table_are_put_together(sample, window, split, max_gap, order, ranks):
    plan = Plan.from_bytes(plan_for(sample, window, split, order, max_gap).to_bytes())
    reader = WindowReader(sample.snapshot, plan, COLUMNS)
    for name in SPLITS:
        expected = naive_windows(sample.rows, window, max_gap, plan.splits[name])
        seen = {}
        for *_, windows in drain(plan, reader, name, ranks=ranks, seed=3, batch_size=7) if expected else ():
            for _, series, start, times, values in windows:
                assert seen.setdefault((series, start), (times, values)) == (times, values)
        assert seen == {key: (times.tobytes(), values.tobytes()) for key, (times, values) in expected.items()}
        assert plan.windows(name) == len(expected)


@given(samples(), WINDOWS, st.integers(1, 9), st.integers(1, 3), st.booleans(), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_positions_and_ranks_equal_the_reference(sample, window, lanes, pool, ordered, epoch):
    plan = plan_for(sample, window, SplitSpec(validation=0, test=0.3), OrderSpec(lanes=lanes, pool=pool))
    expected = epoch_order(superblocks_of(sample, plan), lanes, pool, 11, epoch, shuffled=not ordered)
    ranks = min(lanes, 3)
    reader = WindowReader(sample.snapshot, plan, COLUMNS)
    for rank in range(ranks):
        with WindowStream(
            plan, reader, "train", seed=11, batch_size=5, rank=rank, ranks=ranks, ordered=ordered
        ) as stream:
            stream.set_epoch(epoch)
            seen = [
                (batch.index, int(position), (int(series), int(start)))
                for batch in stream
                for position, series, start in zip(batch.positions, batch.series, batch.starts, strict=True)
            ]
        assert seen == [
            (position // 5, position, name)
            for position, (name, lane) in enumerate(expected)
            if lane % ranks == rank
        ]


def superblocks_of(sample, plan):
    """The training windows of each superblock, by their physical first row."""
    names = list(plan.series)
    physical = {}
    for file in sample.snapshot.files:
        for group in range(len(sample.snapshot.row_groups(file))):
            table = in_order(sample.snapshot, plan.keys).read(file, group, [sample.entity or "t", "t"])
            entities = table.column(0).to_pylist() if sample.entity else [None] * table.num_rows
            for entity, time in zip(entities, table.column(1).to_pylist(), strict=True):
                physical[names.index(entity), time] = len(physical)
    windows = naive_windows(sample.rows, plan.window, None, plan.splits["train"])
    first_rows = sorted(
        (physical[series, times[0]], (series, start)) for (series, start), (times, _) in windows.items()
    )
    bounds = plan.superblocks.first.tolist()
    return [[name for row, name in first_rows if low <= row < high] for low, high in pairwise(bounds)]


@given(samples(), WINDOWS, st.data())
@settings(deadline=None, max_examples=40)
def test_batches_are_the_same_with_any_prefetch_and_budget(sample, window, data):
    plan = plan_for(sample, window, SplitSpec(validation=0, test=0), OrderSpec(lanes=4, pool=2))
    options = {"seed": 1, "batch_size": data.draw(st.integers(1, 20)), "ranks": 2, "epochs": 2}
    generous = WindowReader(sample.snapshot, plan, COLUMNS, 2**30)
    expected = drain(plan, generous, "train", prefetch=0, **options)
    held = rank_bytes(plan, "train", 2, generous.row_bytes)
    tight = WindowReader(sample.snapshot, plan, COLUMNS, 2 * held)  # two ranks, no row group is kept
    for prefetch in (1, 5):
        assert drain(plan, tight, "train", prefetch=prefetch, **options) == expected


@given(samples(), WINDOWS, st.sampled_from(["drop", "wrap"]), st.integers(1, 20))
@settings(deadline=None, max_examples=40)
def test_the_last_batch_is_dropped_or_filled_as_the_plan_says(sample, window, last, batch_size):
    plan = plan_for(sample, window, SplitSpec(validation=0, test=0), OrderSpec(lanes=5, pool=2, last=last))
    short = plan_for(sample, window, SplitSpec(validation=0, test=0), OrderSpec(lanes=5, pool=2))
    reader = WindowReader(sample.snapshot, plan, COLUMNS)
    total = plan.windows("train")
    assume(total >= batch_size or last == "wrap")
    whole = drain(short, reader, "train", ranks=2, seed=2, batch_size=1)
    order = [windows[0] for *_, windows in whole]
    batches = drain(plan, reader, "train", ranks=2, seed=2, batch_size=batch_size)
    assert {size for _, _, size, _ in batches} == {batch_size}
    assert len(batches) == (total // batch_size if last == "drop" else -(-total // batch_size))
    for _, index, _, windows in batches:
        places = range(index * batch_size, (index + 1) * batch_size)
        assert windows == sorted(order[place % total] for place in places)
    assert plan.describe()["every_window_once"] is False


def test_a_rank_without_a_window_still_sees_every_batch(two_series):
    plan, reader = two_series(lanes=8)
    with WindowStream(plan, reader, "train", seed=0, batch_size=1, rank=5, ranks=8) as stream:
        batches = list(stream)
    assert len(batches) == len(stream) == plan.windows("train")
    empty = [batch for batch in batches if not len(batch)]
    assert 0 < len(empty) < len(batches)
    assert {batch.values.shape for batch in empty} == {(0, 6, 2)}
    assert {batch.times.shape for batch in empty} == {(0, 6)}
    assert {batch.size for batch in batches} == {1}


@pytest.mark.parametrize("batch_size", [1, 1000])
def test_batches_larger_than_pools_walk_through_all_of_them(two_series, batch_size):
    plan, reader = two_series(lanes=2, pool=1, group_rows=3)
    batches = drain(plan, reader, "train", ranks=2, seed=4, batch_size=batch_size)
    assert sum(size for _, _, size, _ in batches) == plan.windows("train")
