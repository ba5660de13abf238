"""Batches of several tables: quotas, exact passes, any number of ranks, any cursor."""

from collections import Counter
from contextlib import ExitStack
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm.windows import Mixture, OrderSpec, SplitSpec, TableWindows, WindowReader, WindowSpec, index_snapshot
from lstm.windows import make_plan as make
from lstm.windows.errors import CursorMismatch, WindowError
from lstm.windows.mixture import quotas_of

from .conftest import in_groups, sorted_table
from .drain import windows_of


def table(hours, *, names=("a", "b"), context=4, columns=("x", "y"), **order):
    snapshot = in_groups(sorted_table(hours, names), 25)
    plan = make(
        index_snapshot(snapshot, entity="name", time="t"),
        WindowSpec(context=context, horizon=2),
        SplitSpec(validation=0.2, test=0.2),
        OrderSpec(lanes=4, pool=2, **order),
    )
    return TableWindows(snapshot, plan, WindowReader(snapshot, plan, columns))


@pytest.fixture
def tables():
    return [table(120), table(40, names=("c",)), table(60, names=("d", "e"))]


def drained(tables, *, ranks=1, epochs=1, state=None, **options):
    parts = []
    with ExitStack() as stack:
        for rank in range(ranks):
            mixture = stack.enter_context(Mixture(tables, rank=rank, ranks=ranks, batch_size=20, **options))
            if state is not None:
                mixture.load_state_dict(state)
            parts.append([batch for _ in range(epochs) for batch in mixture])
    found = []
    for same in zip(*parts, strict=True):
        rows = sorted(
            (window[0], int(table), window)
            for batch in same
            for table, window in zip(batch.table, windows_of(batch), strict=True)
        )
        assert len(rows) == same[0].size
        found.append((same[0].epoch, same[0].index, rows))
    return found


def test_each_table_has_its_quota_and_each_pass_of_it_has_each_window_once(tables):
    batches = drained(tables, epochs=6)
    windows = [it.plan.windows("train") for it in tables]
    with Mixture(tables, batch_size=20) as mixture:
        quotas = mixture.quotas
        assert len(mixture) == -(-sum(windows) // 20)
    assert sum(quotas) == 20
    for number, (count, quota) in enumerate(zip(windows, quotas, strict=True)):
        come = [window[1:3] for *_, rows in batches for _, of, window in rows if of == number]
        assert len(come) > count
        for first, end in pairwise(range(0, len(come) + 1, count)):
            once = Counter(come[first:end])
            assert len(once) == count, "a window came twice in a pass"
        full = [sum(of == number for _, of, _ in rows) for *_, rows in batches]
        assert max(full) == quota


def test_positions_are_a_key_of_their_own(tables):
    positions = [position for *_, rows in drained(tables, epochs=3) for position, *_ in rows]
    assert len(set(positions)) == len(positions)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_cursor_goes_on_with_exactly_the_rest_at_every_step(tables, ranks):
    options = {"temperature": 2.0, "seed": 3}
    whole = drained(tables, epochs=3, **options)
    with Mixture(tables, batch_size=20, **options) as mixture:
        cursors = [mixture.state_dict() for _ in range(3) for _ in mixture]
    for place, cursor in list(enumerate(cursors))[::3]:
        rest = drained(tables, ranks=ranks, epochs=3, state=cursor, **options)
        assert rest[: len(whole) - place - 1] == whole[place + 1 :]


def test_any_batch_can_be_replayed(tables):
    with Mixture(tables, batch_size=20) as mixture:
        for epoch in range(3):
            for index, batch in enumerate(mixture):
                again = mixture.batch(epoch, index)
                assert np.array_equal(again.values, batch.values, equal_nan=True)
                assert np.array_equal(again.positions, batch.positions)
                assert mixture.entities(again) == mixture.entities(batch)
        with pytest.raises(IndexError, match="no batch 999"):
            mixture.batch(0, 999)


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=6),
    st.integers(6, 500),
    st.sampled_from([1.0, 2.0, 100.0]),
)
def test_quotas_fill_the_batch_and_leave_no_table_out(windows, batch_size, temperature):
    quotas = quotas_of(np.array(windows), batch_size, None, temperature)
    assert sum(quotas) == batch_size
    assert min(quotas) >= 1
    if temperature == 100.0:
        assert max(quotas) - min(quotas) <= 0.3 * batch_size


def test_weights_of_tables_change_their_quotas():
    assert quotas_of(np.array([500, 500]), 100, None, 1.0) == (50, 50)
    assert quotas_of(np.array([500, 500]), 102, [3, 1], 1.0) == (76, 26)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([], "at least one table"),
        ([table(40), table(40, columns=("x",))], "the same columns"),
        ([table(40), table(40, context=5)], "the same context and horizon"),
        ([table(40), table(90, temperature=2.0)], "weighted, which a mixture does not do"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(others, message):
    with pytest.raises(WindowError, match=message):
        Mixture(others)


@pytest.mark.parametrize("last", ["short", "drop", "wrap"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_no_position_comes_twice_whatever_becomes_of_the_last_batch_of_a_pass(last, ranks):
    tables = [table(60, last=last), table(40, names=("c",), last=last)]
    batches = drained(tables, epochs=4, ranks=ranks)
    positions = [position for *_, rows in batches for position, *_ in rows]
    assert len(set(positions)) == len(positions)
    assert any(len(rows) < 20 for *_, rows in batches) == (last == "short")
    assert drained(tables, epochs=4) == batches


def test_a_table_too_small_for_its_part_of_a_batch_is_not_wrapped_around_itself():
    with pytest.raises(WindowError, match=r"has 7 train windows, but \d+ of each batch .* order.last short"):
        Mixture([table(60), table(20, names=("c",), last="wrap")], weights=[1, 10], batch_size=20)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("failing", [0, 1])
def test_after_an_error_the_next_loop_goes_on_where_it_came(tables, failing, prefetch, monkeypatch):
    whole = drained(tables, epochs=2)
    with Mixture(tables, batch_size=20, prefetch=prefetch) as mixture:
        batches = iter(mixture)
        came = [next(batches), next(batches)]
        stream, after = mixture._streams[failing], mixture.state_dict()
        monkeypatch.setattr(stream, "_next", fails)
        with pytest.raises(OSError, match="for now"):
            next(batches)
        monkeypatch.undo()
        assert mixture.state_dict() == after
        came += [batch for _ in range(2) for batch in mixture]
    assert [(it.epoch, it.index, windows_of(it)) for it in came] == [
        (epoch, index, [window for *_, window in sorted(rows, key=lambda row: row[0])])
        for epoch, index, rows in whole
    ]


def fails():
    raise OSError("the server is away for now")


def test_a_batch_that_an_interrupt_kept_from_the_consumer_comes_again(tables):
    with Mixture(tables, batch_size=20) as mixture:
        assert next(iter(mixture)).index == 0
        mixture._next()  # taken, and an interrupt came while it was put together
        for batch in mixture:
            assert windows_of(batch) == windows_of(mixture.batch(0, batch.index))
        assert batch.index == len(mixture) - 1


def test_a_cursor_of_another_mixture_is_refused(tables):
    with Mixture(tables, batch_size=20) as mixture:
        state = mixture.state_dict()
        with pytest.raises(CursorMismatch, match="taken with quotas"):
            mixture.load_state_dict(state | {"quotas": [18, 1, 1]})
        with pytest.raises(CursorMismatch, match="no batch 9999"):
            mixture.load_state_dict(state | {"batches_consumed": 9999})


def test_a_batch_too_small_and_weights_that_make_no_sense_are_refused(tables):
    with pytest.raises(ValueError, match="cannot hold one of each of 3 tables"):
        Mixture(tables, batch_size=2)
    with pytest.raises(ValueError, match="needs as many weights > 0"):
        Mixture(tables, weights=[1.0, 2.0])
