"""On a regular grid windows are those of a table that has every row: with pandas' `reindex` as the oracle."""

import json
import re
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lstm.windows import (
    SPLITS,
    Column,
    OrderSpec,
    Plan,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    fit_scaling,
    fit_series_scaling,
    fit_vocabularies,
    index_snapshot,
    make_plan,
    open_windows,
)
from lstm.windows.errors import (
    DuplicateRows,
    EmptySplit,
    GridTooFine,
    MissingColumn,
    MissingValues,
    OffGrid,
    PlanMismatch,
    TooFewRows,
    WindowError,
)
from lstm.windows.index.grid import OBSERVED
from storage.objects import Bucket

from .conftest import HOUR, in_groups, sorted_table
from .drain import drain
from .memory_table import MemorySnapshot
from .tables import COLUMNS, known, naive_windows, on_grid, samples
from .test_exactly_once import GAPS, ORDERS, SHARES, WINDOWS
from .test_nulls import POLICIES, naive

EVERYWHERE = ("sorted", "by_time", "by_entity", "by_arrival", "shuffled", "scattered", "row by row")
SECOND = 1_000_000
KINDS = [pa.int64(), pa.int32(), *(pa.timestamp(unit, "UTC") for unit in ("s", "ms", "us", "ns"))]
ORDER, WHOLE = OrderSpec(lanes=4, pool=2), SplitSpec(validation=0, test=0)
WINDOW = WindowSpec(context=3, horizon=2)


def spread(sample, step, kind):
    """The sample with its times `step` apart, and as `kind`: the snapshot, the rows, the grid in two ways."""
    ordinal = pa.types.is_integer(kind)
    unit = 1 if ordinal else SECOND

    def table(group):
        times = pa.compute.multiply(group["t"], step)
        if not ordinal:
            times = pa.compute.multiply(times, SECOND).cast(pa.timestamp("us", "UTC"))
        return group.set_column(group.column_names.index("t"), "t", times.cast(kind))

    files = [[table(group) for group in groups] for groups in sample.snapshot._groups.values()]
    rows = [(name, time * step * unit, *values) for name, time, *values in sample.rows]
    return MemorySnapshot(files), rows, step * unit, step if ordinal else timedelta(seconds=step)


def planned(snapshot, entity, window, split, order, **said):
    try:
        return make_plan(index_snapshot(snapshot, entity=entity, time="t", **said), window, split, order)
    except (TooFewRows, EmptySplit):
        assume(False)


@given(
    samples(layouts=EVERYWHERE, most=9), WINDOWS, SHARES, GAPS, ORDERS,
    st.sampled_from([1, 3]), st.sampled_from(KINDS), st.sampled_from([1, 2, 3]),
)  # fmt: skip
@settings(deadline=None, max_examples=30)
def test_windows_and_their_bits_equal_pandas(sample, window, split, gap, order, step, kind, ranks):
    snapshot, rows, unit, grid = spread(sample, step, kind)
    max_gap = None if gap is None else gap * grid
    plan = planned(snapshot, sample.entity, window, split, order, grid=grid, max_gap=max_gap)
    plan = Plan.from_bytes(plan.to_bytes())  # what a resumed run works with
    whole = on_grid(rows, unit, None if gap is None else gap * unit)
    assert (plan.rows, plan.filled, plan.interval) == (len(whole), len(whole) - len(rows), unit)
    reader = WindowReader(snapshot, plan, (*COLUMNS, OBSERVED))
    for name in SPLITS:
        expected = naive_windows(whole, window, None if gap is None else gap * unit, plan.splits[name])
        expected = known(expected, rows, plan.splits[name][1])
        assert plan.windows(name) == len(expected)
        seen = {}
        for *_, windows in drain(plan, reader, name, ranks=ranks, seed=3, batch_size=7) if expected else ():
            for _, series, start, times, values in windows:
                assert (series, start) not in seen
                seen[series, start] = (times, values)
        assert seen == {key: (times.tobytes(), values.tobytes()) for key, (times, values) in expected.items()}


@given(samples(layouts=EVERYWHERE, most=9), WINDOWS, SHARES, GAPS, POLICIES, POLICIES, ORDERS)
@settings(deadline=None, max_examples=20)
def test_null_policies_take_added_rows_for_nulls(sample, window, split, gap, x, n, order):
    columns = (Column(name="x", nulls=x), Column(name="n", nulls=n))
    said = {"grid": 1, "max_gap": gap, "columns": columns}
    plan = planned(sample.snapshot, sample.entity, window, split, order, **said)
    reader = WindowReader(sample.snapshot, Plan.from_bytes(plan.to_bytes()), columns)
    rows = [row[:-1] for row in on_grid(sample.rows, 1, gap)]
    for name in SPLITS:
        expected = naive(rows, window, gap, plan.splits[name], columns)
        expected = known(expected, sample.rows, plan.splits[name][1])
        assert plan.windows(name) == len(expected)
        seen = {}
        for *_, windows in drain(plan, reader, name, ranks=2, seed=3, batch_size=7) if expected else ():
            for _, series, start, times, values in windows:
                seen[series, start] = (times, np.frombuffer(values, np.float32).reshape(window.length, -1))
        assert seen.keys() == expected.keys()
        for key, (times, values) in seen.items():
            assert times == expected[key][0].tobytes()
            assert np.array_equal(values, expected[key][1], equal_nan=True)


@given(samples(most=9), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 3]), st.integers(0, 6))
@settings(deadline=None, max_examples=12)
def test_a_restored_stream_yields_exactly_the_rest(sample, before, after, consumed):
    plan = planned(sample.snapshot, sample.entity, WINDOW, WHOLE, ORDER, grid=1)
    options = {"seed": 1, "batch_size": 5}
    whole = drain(
        plan, WindowReader(sample.snapshot, plan, (*COLUMNS, OBSERVED)), "train", ranks=before, **options
    )
    reader = WindowReader(sample.snapshot, Plan.from_bytes(plan.to_bytes()), (*COLUMNS, OBSERVED))
    with WindowStream(plan, reader, "train", **options) as stream:
        for _ in zip(range(consumed), stream, strict=False):
            pass
        state = json.loads(json.dumps(stream.state_dict()))
    assume(state["epoch"] == 0)
    assert drain(plan, reader, "train", ranks=after, state=state, **options) == whole[consumed:]


def holey(hours=60):
    """Two hourly series without some hours, a few in a row among them."""
    gone = {3, 4, 5, 17, 30, 31, 55, 70, 71, 90}
    table = sorted_table(hours)
    return table.take([row for row in range(2 * hours) if row not in gone])


def test_nothing_before_a_split_depends_on_what_comes_after():
    rows = holey()
    late = np.asarray(rows["t"].cast(pa.int64())) >= 40 * HOUR
    columns = (Column(name="x", nulls="forward_fill"), Column(name="y"), Column(name=OBSERVED))
    split = SplitSpec(validation_from="1970-01-02T16:00")

    def seen(poison):
        poisoned = rows
        for place, name in enumerate(rows.column_names):
            if name in COLUMNS or name == "y":
                values = rows[name].to_numpy(zero_copy_only=False).copy()
                values[late] = poison
                poisoned = poisoned.set_column(place, name, pa.array(values, from_pandas=True))
        snapshot = in_groups(poisoned, 13)
        plan = planned(snapshot, "name", WINDOW, split, ORDER, grid=timedelta(hours=1), columns=columns)
        reader = WindowReader(snapshot, plan, columns)
        scaling = fit_scaling(snapshot, plan, ("x", "y", OBSERVED))
        return drain(plan, reader, "train", ranks=1, seed=0, batch_size=8), scaling

    assert seen(1e6) == seen(np.nan)


TIMES = st.sets(st.integers(0, 59), min_size=3)


@given(
    TIMES,
    TIMES,
    GAPS,
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([(30, "train"), (45, "validation")]),
)
@settings(deadline=None, max_examples=12)
@example(set(range(20)) | {50, 59}, set(range(5, 60)), None, 13, False, (30, "train"))
@example(set(range(20)) | {50, 59}, set(range(5, 60)), None, 13, True, (30, "train"))
def test_nothing_before_a_split_depends_on_whether_rows_come_after(a, b, gap, group, drops, until):
    end, name = until
    column = Column(name="x", nulls="drop_window" if drops else "forward_fill")
    split = SplitSpec(validation_from="30", test_from="45")

    def seen(future):
        times = {"a": sorted(a), "b": sorted(b), "z": range(60)}
        stand = [(e, t) for e, its in times.items() for t in its if future or e == "z" or t < end]
        entities, stamps = zip(*stand, strict=True)
        values = [float(ord(entity) + time % 7) for entity, time in stand]
        table = pa.table({"name": entities, "t": stamps, "x": values})
        snapshot = in_groups(table, group)
        said = {"grid": 1, "max_gap": gap, "columns": [column]}
        plan = planned(snapshot, "name", WindowSpec(context=3, horizon=2), split, ORDER, **said)
        plan = Plan.from_bytes(plan.to_bytes())
        reader = WindowReader(snapshot, plan, (column, OBSERVED))
        windows = {
            (plan.series[series], start): (times, values)
            for *_, windows in drain(plan, reader, name, ranks=1, seed=0, batch_size=8)
            for _, series, start, times, values in windows
        }
        of = "xo" if name == "train" else ""
        scaling = [fit_scaling(snapshot, plan, ["x", OBSERVED])] if of else []
        own = [fit_series_scaling(snapshot, plan, ["x", OBSERVED])] if of else []
        moments = [np.array([it.count, it.mean, it.std]) for it in scaling]
        by_entity = {
            entity: np.array([it.count[at], it.mean[at], it.std[at]]).tolist()
            for it in own for at, entity in enumerate(it.entities) if it.count[at].any()
        }  # fmt: skip
        words = fit_vocabularies(snapshot, plan, ["name"]) if of else {}
        return windows, moments, by_entity, words

    one, other = seen(True), seen(False)
    assert one[0] == other[0]
    np.testing.assert_allclose(one[1], other[1], rtol=1e-12)  # cut into other row groups, added up otherwise
    assert one[2].keys() == other[2].keys()
    for entity, moments in one[2].items():
        np.testing.assert_allclose(moments, other[2][entity], rtol=1e-9, atol=1e-9)
    assert one[3] == other[3]


def test_statistics_leave_added_rows_out_and_the_mask_tells_them():
    rows = holey()
    snapshot = in_groups(rows, 13)
    plan = planned(snapshot, "name", WINDOW, WHOLE, ORDER, grid=timedelta(hours=1))
    scaling = fit_scaling(snapshot, plan, ("x", OBSERVED))
    assert scaling.count == (rows.num_rows, rows.num_rows)
    assert scaling.mean == pytest.approx((np.mean(rows["x"].to_numpy()), 1))
    assert scaling.std[1] == 0


def test_a_gap_longer_than_max_gap_still_cuts():
    rows = sorted_table(40, names=("a",)).take([*range(10), *range(11, 20), *range(30, 40)])
    said = {"grid": timedelta(hours=1), "max_gap": timedelta(hours=4)}
    plan = planned(in_groups(rows, 7), "name", WINDOW, WHOLE, ORDER, **said)
    assert (plan.segments.rows.tolist(), plan.filled) == ([20, 10], 1)


def test_series_have_grids_of_their_own():
    rows = pa.table({"name": ["a"] * 3 + ["b"] * 3, "t": [0, 10, 30, 7, 17, 37], "x": np.arange(6.0)})
    plan = planned(in_groups(rows, 4), "name", WindowSpec(context=1, horizon=1), WHOLE, ORDER, grid=10)
    assert plan.rows == 8


def test_without_a_grid_a_plan_is_what_it_was():
    said = {"entity": "name", "time": "t"}
    window, split = WindowSpec(context=4, horizon=2), SplitSpec(validation=0.2, test=0.2)
    plan = make_plan(index_snapshot(in_groups(sorted_table(), 25), **said), window, split, ORDER)
    assert replace(plan, files=("one file",)).id == (
        "a11224a4a6f7d61f66d358d5788d6c2ebcd17fe6a1559463268595ce59c7e6dd"  # of a version that knew no grids
    )
    frozen = json.loads(plan.to_bytes())
    assert "grid" not in frozen["keys"]
    assert "stored" not in frozen["pieces"]


def test_the_grid_belongs_to_the_id():
    snapshot = in_groups(sorted_table(), 25)
    ids = {
        planned(snapshot, "name", WINDOW, WHOLE, ORDER, grid=grid and timedelta(minutes=grid)).id
        for grid in (None, 60, 30, 20)
    }
    assert len(ids) == 4


def test_cached_indexes_of_another_grid_or_none_are_not_taken(bucket):
    cache = Bucket(bucket.name, bucket.access)
    snapshot = in_groups(holey(), 13)
    for grid in (None, timedelta(hours=1), timedelta(minutes=30), None):
        found = planned(snapshot, "name", WINDOW, WHOLE, ORDER, grid=grid, cache=cache)
        assert found.id == planned(snapshot, "name", WINDOW, WHOLE, ORDER, grid=grid).id
    snapshot.reads.clear()
    planned(snapshot, "name", WINDOW, WHOLE, ORDER, grid=timedelta(hours=1), cache=cache)
    assert not snapshot.reads


def test_what_a_later_file_adds_to_an_earlier_one_is_looked_at_again(bucket):
    cache = Bucket(bucket.name, bucket.access)
    rows = pa.table({"t": [*range(10), *range(14, 40)], "x": np.arange(36.0)})
    column = Column(name="x", nulls="drop_window")
    early, late = (
        MemorySnapshot([[rows.slice(0, 10)]]),
        MemorySnapshot([[rows.slice(0, 10)], [rows.slice(10)]]),
    )
    said = {"grid": 1, "columns": [column]}
    plans = [planned(it, None, WINDOW, WHOLE, ORDER, cache=cache, **said) for it in (early, late)]
    assert [plan.windows("train") for plan in plans] == [6, 6 + 22]
    assert plans[1].id == planned(late, None, WINDOW, WHOLE, ORDER, **said).id


def test_all_numbers_of_an_opened_table_are_features_and_so_is_the_mask(tmp_path):
    from deltalake import write_deltalake

    write_deltalake(str(tmp_path / "t"), holey())
    said = {"time": "t", "entity": "name", "context": 3, "horizon": 2, "calendar": "UTC"}
    windows = open_windows(str(tmp_path / "t"), grid=timedelta(hours=1), **said)
    with windows.stream("train") as stream:
        assert stream.columns == ("x", "y", OBSERVED)
        batch = next(iter(stream))
        assert set(np.diff(batch.times).ravel().tolist()) == {HOUR}
        assert np.array_equal(np.isnan(batch.values[..., 0]), batch.values[..., 2] == 0)
        assert (batch.values[..., 2] == 0).any()
    assert windows.plan.describe()["filled_rows"] == windows.plan.filled == 10
    assert windows.scaling().columns == ("x", "y", OBSERVED)
    categories = [Column(name="name", kind="category", role="static"), Column(name="x", scaling="series")]
    again = open_windows(str(tmp_path / "t"), grid=timedelta(hours=1), columns=categories, **said)
    with again.stream("train") as stream:
        batch = next(iter(stream))
    assert np.array_equal(batch.static_ids[:, 0], batch.series + 2)


def rows(times, names=None, **columns):
    return pa.table({"t": times, **({"name": names} if names else {}), **columns})


DAYS = pa.array([date(2024, 1, day) for day in (1, 2, 5)])
BAD = {
    "inside a row group": (
        [[rows(pa.array([0, HOUR, HOUR * 5 // 2, 3 * HOUR], pa.timestamp("us")), ["a"] * 4)]],
        {"grid": timedelta(hours=1), "entity": "name"},
        OffGrid,
        "2 of 4 rows in row group 0 of s3://memory/table/0.parquet are off the grid of 1:00:00: the first of "
        "name 'a', at 1970-01-01T02:30:00Z in row 2, comes 1:30:00 after the row before it; the steps of "
        "this row group are multiples of 0:30:00; choose a grid",
    ),
    "in another file": (
        [[rows([0, 10], ["a"] * 2)], [rows([0, 10], ["b"] * 2)], [rows([25, 35], ["b"] * 2)]],
        {"grid": 10, "entity": "name"},
        OffGrid,
        "the row of name 'b' at 25 is off the grid of 10: it comes 25 after the first row of its series, at "
        "0 (1 such stretches of rows in all); choose a grid",
    ),
    "a duration for ordinals": (
        [[rows([0, 1])]],
        {"grid": timedelta(1)},
        WindowError,
        "grid must be an integer",
    ),
    "no step": ([[rows([0, 1])]], {"grid": 0}, WindowError, "grid must be positive, got 0"),
    "cut everywhere": (
        [[rows([0, 10])]],
        {"grid": 10, "max_gap": 9},
        WindowError,
        "max_gap (9) is shorter than grid (10)",
    ),
    "hours of dates": (
        [[rows(DAYS)]],
        {"grid": timedelta(hours=1)},
        WindowError,
        "column 't' is date32[day], which cannot tell times 1:00:00 apart; choose a grid of whole multiples "
        "of 1 day",
    ),
    "a name that is taken": (
        [[rows([0, 1], observed=[True, True])]],
        {"grid": 1},
        MissingColumn,
        "the table has a column 'observed', the name that is kept",
    ),
    "a hole nobody thought of": (
        [[rows([0, 1, 2, 0, 1, 1_000_000], ["a"] * 3 + ["b"] * 3)]],
        {"grid": 1, "entity": "name"},
        GridTooFine,
        "a grid of 1 would add 999,998 rows without a value to 6, more than 10 for each: 999,998 of them to "
        "name 'b', which has 3 rows from 0 to 1000000; choose a longer grid, or say with max_gap",
    ),
    "more than can be counted": (
        [[rows([0, 1, 2**33])]],
        {"grid": 1, "max_gap": 2**34},
        GridTooFine,
        "a row group of 3 rows would have 8,589,934,593 on a grid of 1, of at most 4,194,304 that are read "
        "at once; choose a longer grid, or a shorter max_gap, which cuts a series",
    ),
    "more than memory would hold": (
        [[rows([0, 1])], [rows([2, 3, 2**22 + 2])]],
        {"grid": 1, "max_gap": 2**34},
        GridTooFine,
        "a row group of 3 rows would have 4,194,305 on a grid of 1, of at most 4,194,304",
    ),
    "the same row twice": (
        [[rows([0, 1, 2])], [rows([2, 4])]],
        {"grid": 1},
        DuplicateRows,
        "2 rows have the same time 2",
    ),
    "refused nulls": (
        [[rows([0, 1, 4], x=[1.0, 2.0, 3.0])]],
        {"grid": 1, "columns": [Column(name="x", nulls="error")]},
        MissingValues,
        "column 'x' has no value in 2 of 5 rows, the first at 2, in row 2 of row group 0 of "
        "s3://memory/table/0.parquet (2 of the rows are added by the grid, and have none)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_lie_on_a_grid_is_refused_with_what_would(case):
    files, said, error, message = BAD[case]
    with pytest.raises(error, match=re.escape(message)):
        make_plan(
            index_snapshot(MemorySnapshot(files), **{"entity": None, "time": "t", **said}),
            WindowSpec(context=1, horizon=1), WHOLE, ORDER,
        )  # fmt: skip


def test_days_and_a_hole_that_max_gap_leaves_out_are_fine():
    plan = planned(
        MemorySnapshot([[rows(DAYS)]]),
        None,
        WindowSpec(context=1, horizon=1),
        WHOLE,
        ORDER,
        grid=timedelta(1),
    )
    assert (plan.rows, plan.filled) == (5, 2)
    seconds = MemorySnapshot([[rows([0, 1, 2, 4, 10**6, 10**6 + 1])]])
    plan = planned(seconds, None, WindowSpec(context=1, horizon=1), WHOLE, ORDER, grid=1, max_gap=3600)
    assert (plan.rows, plan.filled) == (7, 1)


@pytest.mark.parametrize("changed", [[0, 1, 3, 5], [0, 1, 2, 9], [1, 2, 4, 5], [0, 1, 5]])
def test_a_file_that_was_changed_in_place_is_noticed(changed):
    snapshot = MemorySnapshot([[rows([0, 1, 4, 5], x=np.arange(4.0))]])
    plan = planned(snapshot, None, WindowSpec(context=1, horizon=1), WHOLE, ORDER, grid=1)
    snapshot._groups[snapshot.files[0].identity] = [rows(changed, x=np.arange(float(len(changed))))]
    reader = WindowReader(snapshot, plan, ("x",))
    if changed == [0, 1, 3, 5]:  # still on the grid, between the same ends: no plan could tell
        drain(plan, reader, "train", ranks=1, seed=0, batch_size=8)
        return
    with pytest.raises(PlanMismatch, match="holds other rows than when"):
        drain(plan, reader, "train", ranks=1, seed=0, batch_size=8)
