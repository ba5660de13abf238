"""Tables and budgets that cannot serve are refused with what, the numbers, and a remedy."""

from datetime import timedelta

import pyarrow as pa
import pytest

from lstm.windows import OrderSpec, SplitSpec, WindowSpec, WindowStream, index_snapshot, make_plan
from lstm.windows.errors import (
    BudgetTooSmall,
    DuplicateRows,
    EmptySplit,
    EmptyTable,
    MissingColumn,
    NullKey,
    TooFewRows,
    TooManyRanks,
    WindowError,
    WrongColumnType,
)
from storage.errors import UserError

from .memory_table import MemorySnapshot


def rows(names, times, **columns):
    return pa.table({"name": names, "t": times, **columns})


def made(files, entity="name", time="t", max_gap=None, window=None):
    index = index_snapshot(MemorySnapshot(files), entity=entity, time=time, max_gap=max_gap)
    return make_plan(
        index,
        window or WindowSpec(context=1, horizon=1),
        SplitSpec(validation=0, test=0),
        OrderSpec(),
    )


GOOD = rows(["a"] * 4 + ["b"] * 4, [*range(4), *range(4)])

BAD = {
    "no rows": (
        {"files": [[GOOD.slice(0, 0)]]},
        EmptyTable,
        "has no rows at snapshot 1",
    ),
    "missing entity": (
        {"files": [[GOOD]], "entity": "nam"},
        MissingColumn,
        "no column 'nam'; it has: name, t",
    ),
    "missing time": ({"files": [[GOOD]], "time": "time"}, MissingColumn, "no column 'time'"),
    "text as time": ({"files": [[GOOD]], "time": "name"}, WrongColumnType, "'name' is string"),
    "float as entity": (
        {"files": [[rows([1.0, 2.0], [1, 2])]]},
        WrongColumnType,
        "'name' is double, but entities must be",
    ),
    "float as time": ({"files": [[rows(["a"], [1.0])]]}, WrongColumnType, "'t' is double"),
    "too fine times": (
        {"files": [[rows(["a"], pa.array([1], pa.timestamp("ns")))]]},
        WrongColumnType,
        "whole microseconds",
    ),
    "too large entities": (
        {"files": [[rows(pa.array([2**63], pa.uint64()), [1])]]},
        WrongColumnType,
        "fit 64 bits with a sign",
    ),
    "null entity": ({"files": [[rows(["a", None], [1, 2])]]}, NullKey, "1 of 2 rows .* column 'name'"),
    "null entity in a dictionary": (
        {"files": [[rows(pa.DictionaryArray.from_arrays([0, 1, 1], ["a", None]), [1, 2, 3])]]},
        NullKey,
        "2 of 3 rows .* column 'name'",
    ),
    "times without an end": (
        {"files": [[rows(["a"] * 3, pa.array([1, 2, 2**63 - 1], pa.timestamp("us")))]]},
        WrongColumnType,
        r"1 of 3 rows of row group 0 of .* beyond 4,611,686,018,427,387,904 microseconds in column 't'",
    ),
    "ordinals before all": (
        {"files": [[rows(["a"] * 3, [-(2**63), 1, 2**63 - 1])]]},
        WrongColumnType,
        "2 of 3 rows .* the first -9,223,372,036,854,775,808 in row 0",
    ),
    "one column for both keys": (
        {"files": [[GOOD]], "entity": "t"},
        WindowError,
        "'t' cannot both tell series apart and order their rows",
    ),
    "null time": ({"files": [[rows(["a", "a"], [1, None])]]}, NullKey, "1 of 2 rows .* column 't'"),
    "twice in a row group": (
        {"files": [[rows(["a"] * 4, [1, 2, 2, 2])]]},
        DuplicateRows,
        r"3 rows of name 'a' have the same time 2 in row group 0 of .*/0.parquet \(row 1",
    ),
    "twice in scattered rows": (
        {"files": [[rows(["a", "b", "a"], [1, 1, 1])]]},
        DuplicateRows,
        "2 rows of name 'a' have the same time 1",
    ),
    "ingested twice": (
        {"files": [[GOOD], [GOOD]]},
        DuplicateRows,
        "2 rows of name 'a' have the same time 0, in .*; 4 times occur in both, and 2 such pairs",
    ),
    "twice without an entity": (
        {"files": [[GOOD.slice(0, 4)], [GOOD.slice(3, 1)]], "entity": None},
        DuplicateRows,
        "2 rows have the same time 3",
    ),
    "too few rows": (
        {"files": [[GOOD]], "window": WindowSpec(context=4, horizon=2)},
        TooFewRows,
        r"longest of 2 segments has 4 rows, but a window needs 6 \(context 4 \+ horizon 2\)",
    ),
    "a duration for ordinals": (
        {"files": [[GOOD]], "max_gap": timedelta(hours=1)},
        WindowError,
        "an integer",
    ),
    "no gap at all": ({"files": [[GOOD]], "max_gap": 0}, WindowError, "must be positive"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), BAD.values(), ids=BAD)
def test_bad_tables_are_refused_with_a_clear_message(arguments, error, message):
    with pytest.raises(error, match=message) as refused:
        made(**arguments)
    assert isinstance(refused.value, UserError)


def test_times_may_lie_as_far_apart_as_their_differences_fit():
    plan = made([[rows(["a"] * 4, [-(2**62), 0, 1, 2**62])]])
    assert plan.windows("train") == 3


@pytest.mark.parametrize(
    "split",
    [SplitSpec(embargo_rows=2**48), SplitSpec(validation_from="-9" + "0" * 30)],
    ids=["embargo", "date"],
)
def test_boundaries_beyond_all_times_leave_a_split_empty(split):
    far = rows(["a"] * 4, [number << 20 for number in range(4)])
    index = index_snapshot(MemorySnapshot([[far]]), entity="name", time="t")
    with pytest.raises(EmptySplit, match="train"):
        make_plan(index, WindowSpec(context=1, horizon=1), split, OrderSpec())


def test_times_in_messages_are_readable():
    times = pa.array([0, 0], pa.timestamp("us", "UTC"))
    with pytest.raises(DuplicateRows, match="time 1970-01-01T00:00:00Z"):
        made([[rows(["a", "a"], times)]])


def test_entities_may_stand_in_any_order_as_long_as_each_stands_together():
    plan = made([[rows(["b", "b", "a", "a"], [1, 2, 1, 2])]])
    assert plan.series == ("a", "b")
    assert plan.windows("train") == 2


def test_a_budget_that_is_too_small_says_what_would_fit(two_series):
    plan, reader = two_series(lanes=4, pool=2, group_rows=2, budget=1100)
    with pytest.raises(BudgetTooSmall) as refused:
        WindowStream(plan, reader, "train", seed=0, batch_size=4)
    message = str(refused.value)
    slot_rows = int(plan.block_rows.max())
    pool_windows = sum(sorted(plan.split_windows("train").counts.tolist())[-2:])
    need = 2 * 4 * 2 * slot_rows * reader.row_bytes + 2 * 4 * pool_windows * 3 * 4
    assert f"needs {need:,} bytes on each of 1 ranks" in message
    assert f"a budget of {need:,} bytes" in message
    assert "order.pool 1 (now 2)" in message
    assert "2 ranks with this budget each" in message
    WindowStream(plan, reader, "train", seed=0, batch_size=4, ranks=2).close()
    reader.budget_bytes = need
    WindowStream(plan, reader, "train", seed=0, batch_size=4).close()


def test_streams_share_a_readers_budget(two_series):
    plan, reader = two_series()
    reader.budget_bytes = 0
    with pytest.raises(BudgetTooSmall) as refused:
        WindowStream(plan, reader, "train", seed=0, batch_size=4)
    needed = int(str(refused.value).split("a budget of ")[1].split(" bytes")[0].replace(",", ""))
    reader.budget_bytes = needed
    with WindowStream(plan, reader, "train", seed=0, batch_size=4), pytest.raises(BudgetTooSmall):
        WindowStream(plan, reader, "train", seed=0, batch_size=4)
    WindowStream(plan, reader, "train", seed=0, batch_size=4).close()


def test_more_ranks_than_lanes_are_refused(two_series):
    plan, reader = two_series(lanes=4)
    with pytest.raises(TooManyRanks, match="5 ranks cannot share 4 lanes"):
        WindowStream(plan, reader, "train", seed=0, batch_size=4, ranks=5)


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"prefetch": -1}, {"seed": -1}, {"rank": 2, "ranks": 2}]
)
def test_streams_refuse_what_makes_no_sense(two_series, wrong):
    plan, reader = two_series()
    with pytest.raises(ValueError, match="a stream needs"):
        WindowStream(plan, reader, "train", **{"seed": 0, "batch_size": 4} | wrong)
    with pytest.raises(ValueError, match="one of train, validation, test"):
        WindowStream(plan, reader, "tests", seed=0, batch_size=4)
