"""Each null policy means what a naive reading with pandas means by it, whatever the layout and the ranks."""

import json
import re
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lstm.windows import (
    NULL_POLICIES,
    SPLITS,
    Column,
    OrderSpec,
    Plan,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    index_snapshot,
    last_contexts,
    make_plan,
    open_windows,
)
from lstm.windows.errors import EmptySplit, MissingValues, PlanMismatch, TooFewRows
from lstm.windows.features.finish import Finish
from lstm.windows.index import missing
from storage.objects import Bucket
from storage.tables import create_table, lake_for

from .conftest import HOUR, in_groups
from .drain import drain
from .memory_table import MemorySnapshot
from .tables import naive_windows, samples
from .test_exactly_once import GAPS, SHARES, WINDOWS

POLICIES = st.sampled_from(["mask", "forward_fill", "drop_window"])


def frame_of(rows, max_gap):
    """The rows as pandas sees them, in order, with their segments."""
    frame = pd.DataFrame(rows, columns=["name", "t", "x", "n"])
    frame["name"] = frame["name"].map(lambda name: "" if name is None else name)
    frame = frame.sort_values(["name", "t"], kind="stable").reset_index(drop=True)
    gap = frame.groupby("name")["t"].diff()
    cut = gap.isna() if max_gap is None else gap.isna() | (gap > max_gap)
    return frame.assign(segment=cut.cumsum())


def naive(rows, window, max_gap, bounds, columns):
    """{(series, start): (times, cells)} under the policies of `columns`."""
    frame = frame_of(rows, max_gap)
    cells = {column.name: frame[column.name].astype(np.float32) for column in columns}
    for column in columns:
        if column.nulls == "forward_fill":
            filled = cells[column.name].groupby(frame["segment"]).ffill()
            flag = cells[column.name].isna() & filled.notna()
            cells[column.name] = filled
            cells[column.name + ":filled"] = flag.astype(np.float32)
    dropping = [place for place, column in enumerate(columns) if column.nulls == "drop_window"]
    names = [column.name for column in columns] + [name for name in cells if name.endswith(":filled")]
    values = np.stack([cells[name].to_numpy() for name in names], axis=1)
    first = {name: int(group.index[0]) for name, group in frame.groupby("name")}
    numbers = sorted(first)
    found = {}
    for (series, start), (times, _) in naive_windows(rows, window, max_gap, bounds).items():
        begin = first[numbers[series]] + start
        held = values[begin : begin + window.length]
        if not np.isnan(held[:, dropping]).any():
            found[series, start] = (times, held)
    return found


def plan_of(snapshot, entity, columns, window, split, max_gap, cache=None):
    index = index_snapshot(snapshot, entity=entity, time="t", max_gap=max_gap, columns=columns, cache=cache)
    try:
        return make_plan(index, window, split, OrderSpec(lanes=4, pool=2))
    except (TooFewRows, EmptySplit):
        assume(False)


@given(samples(), WINDOWS, SHARES, GAPS, POLICIES, POLICIES, st.sampled_from([1, 2, 3]))
@settings(deadline=None, max_examples=60)
def test_windows_and_cells_equal_pandas(sample, window, split, max_gap, x, n, ranks):
    columns = (Column(name="x", nulls=x), Column(name="n", nulls=n))
    plan = plan_of(sample.snapshot, sample.entity, columns, window, split, max_gap)
    again = Plan.from_bytes(plan.to_bytes())
    assert (again.id, again.to_bytes()) == (plan.id, plan.to_bytes())
    reader = WindowReader(sample.snapshot, again, columns)
    for name in SPLITS:
        expected = naive(sample.rows, window, max_gap, plan.splits[name], columns)
        assert plan.windows(name) == plan.split_windows(name).total == len(expected)
        everything = len(naive_windows(sample.rows, window, max_gap, plan.splits[name]))
        assert plan.dropped(name) == everything - len(expected)
        if not expected:
            continue
        seen = []
        for *_, windows in drain(again, reader, name, ranks=ranks, seed=3, batch_size=7):
            for _, series, start, times, values in windows:
                seen.append((series, start))
                assert times == expected[series, start][0].tobytes()
                assert np.array_equal(
                    np.frombuffer(values, np.float32).reshape(window.length, -1),
                    expected[series, start][1],
                    equal_nan=True,
                )
        assert sorted(seen) == sorted(expected)


def gapped(hours=60, names=("a", "b")):
    """Hourly rows with missing values of both columns, NaN as well as null, and a gap of a day."""
    random = np.random.default_rng(8)
    rows = hours * len(names)
    hour = np.tile(np.arange(hours) + 24 * (np.arange(hours) >= hours // 2), len(names))
    x = random.standard_normal(rows)
    x[random.random(rows) < 0.05] = np.nan
    return pa.table(
        {
            "name": np.repeat(np.array(names), hours),
            "t": pa.array(hour * HOUR, pa.timestamp("us", "UTC")),
            "x": pa.array(x, mask=random.random(rows) < 0.1),
            "n": pa.array(np.arange(rows), mask=random.random(rows) < 0.05),
        }
    )


@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_both_formats_give_what_pandas_gives(kind, s3_server, bucket):
    lake, rows = lake_for(s3_server), gapped()
    uri = f"s3://{bucket.name}/{kind}-nulls"
    table = create_table(lake, uri, rows.schema, format=kind, row_group_rows=13)
    for number in range(3):  # files that cut each series
        parts = [rows.slice(60 * series + 20 * number, 20) for series in range(2)]
        table.append(pa.concat_tables(parts), transaction=str(number))
    columns = (Column(name="n", nulls="drop_window"), Column(name="x", nulls="forward_fill"))
    windows = open_windows(
        uri, lake=lake, time="t", entity="name", max_gap=pd.Timedelta(hours=1).to_pytimedelta(),
        columns=columns, context=5, horizon=2, order=OrderSpec(lanes=4),
    )  # fmt: skip
    plain = [
        (name, time.value // 1000, x, n)
        for name, time, x, n in rows.to_pandas()[["name", "t", "x", "n"]].itertuples(index=False)
    ]
    for split in SPLITS:
        expected = naive(plain, windows.plan.window, HOUR, windows.plan.splits[split], columns)
        assert expected
        with windows.stream(split) as stream:
            assert stream.columns == ("n", "x", "x:filled")
            seen = {
                (int(series), int(start)): values
                for batch in stream
                for series, start, values in zip(batch.series, batch.starts, batch.values, strict=True)
            }
        assert seen.keys() == expected.keys()
        for window, values in seen.items():
            assert np.array_equal(values, expected[window][1], equal_nan=True)


def test_the_runs_of_missing_values_are_read_once_ever(bucket):
    snapshot = in_groups(gapped(), 25)
    columns = (Column(name="x", nulls="forward_fill"), Column(name="n", nulls="drop_window"))
    cache = Bucket(bucket.name, bucket.access)
    plans = []
    for _ in range(2):
        snapshot.reads.clear()
        plan = plan_of(snapshot, "name", columns, WindowSpec(context=4, horizon=2), SplitSpec(), None, cache)
        plans.append((plan.id, plan.to_bytes(), {names for *_, names in snapshot.reads}))
    assert plans[0][:2] == plans[1][:2]
    assert plans[0][2] >= {("name", "t"), ("x",), ("n",)}
    assert plans[1][2] <= {("t",)}  # where a boundary cuts an irregular piece


def test_the_newest_contexts_are_filled_too():
    rows = gapped(hours=40, names=("a",))
    rows = rows.set_column(2, "x", pa.array([1.0] * 35 + [None] * 5))
    columns = (Column(name="x", nulls="forward_fill"),)
    snapshot = in_groups(rows, 7)
    plan = plan_of(snapshot, "name", columns, WindowSpec(context=3, horizon=2), SplitSpec(test=0), None)
    contexts = last_contexts(plan, WindowReader(snapshot, plan, columns))
    assert contexts.batch.values[0, :3].tolist() == [[1.0, 1.0]] * 3
    assert np.isnan(contexts.batch.values[0, 3:]).all()


def test_filling_takes_nothing_from_the_future():
    rows = gapped()
    columns = (Column(name="x", nulls="forward_fill"),)
    late = np.asarray(rows["t"].cast(pa.int64())) >= 30 * HOUR

    def training(poison):
        x = rows["x"].to_numpy(zero_copy_only=False).copy()
        x[late] = poison
        snapshot = in_groups(rows.set_column(2, "x", pa.array(x, from_pandas=True)), 13)
        split = SplitSpec(validation_from=(pd.Timestamp(0) + pd.Timedelta(hours=30)).isoformat())
        plan = plan_of(snapshot, "name", columns, WindowSpec(context=4, horizon=2), split, None)
        return drain(plan, WindowReader(snapshot, plan, columns), "train", ranks=1, seed=0, batch_size=8)

    assert training(1e6) == training(np.nan)


def test_error_names_the_column_the_file_the_row_and_the_remedy():
    rows = gapped(names=("a", "b"))
    mask = np.zeros(120, bool)
    mask[[70, 71, 90]] = True
    rows = rows.set_column(3, "n", pa.array(np.arange(120), mask=mask))
    index = index_snapshot(
        MemorySnapshot([[rows.slice(0, 60)], [rows.slice(60, 4), rows.slice(64, 56)]]),
        entity="name",
        time="t",
        columns=[Column(name="n", nulls="error")],
    )
    with pytest.raises(
        MissingValues,
        match=re.escape(
            "column 'n' has no value in 3 of 120 rows, the first of name 'b' at 1970-01-01T10:00:00Z, "
            "in row 6 of row group 1 of s3://memory/table/1.parquet; write values there, or choose for"
        ),
    ):
        make_plan(index, WindowSpec(context=4, horizon=2), SplitSpec(), OrderSpec())
    full = index_snapshot(in_groups(rows, 30), entity="name", time="t", columns=[Column(name="n")])
    make_plan(full, WindowSpec(context=4, horizon=2), SplitSpec(), OrderSpec())


@given(
    st.dictionaries(
        st.integers(0, 39), st.sampled_from([None, [1.0, None], [np.nan, 2.0], [None, None]]), max_size=9
    ),
    st.sampled_from([pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float64(), 2)]),
)
@settings(deadline=None, max_examples=30)
def test_a_list_is_missing_where_any_of_its_numbers_is(holes, kind):
    lists = [holes.get(row, [1.0, 2.0]) for row in range(40)]
    snapshot = in_groups(pa.table({"t": range(40), "v": pa.array(lists, kind)}), 7)
    window, split = WindowSpec(context=2, horizon=1), SplitSpec(validation=0, test=0)
    column = Column(name="v", width=2, nulls="drop_window")
    plan = plan_of(snapshot, None, [column], window, split, None)
    batches = drain(plan, WindowReader(snapshot, plan, [column]), "train", ranks=1, seed=0, batch_size=8)
    starts = sorted(start for *_, windows in batches for _, _, start, _, _ in windows)
    assert starts == [start for start in range(38) if not holes.keys() & {start, start + 1, start + 2}]
    if holes:
        refusing = [Column(name="v", width=2, nulls="error")]
        with pytest.raises(MissingValues, match=f"no value in {len(holes)} of 40 rows"):
            plan_of(snapshot, None, refusing, window, split, None)


def token_rows(missing=(7, 8)):
    """Tokens of which every third is 0, in row groups of 6."""
    mask = np.isin(np.arange(40), missing)
    return in_groups(pa.table({"t": range(40), "v": pa.array(np.arange(40) % 3, mask=mask)}), 6)


def tokens_read(snapshot, **said):
    """{start: ids} of training windows of two tokens and one, and the plan's id."""
    column = Column(name="v", kind="token", **said)
    split = SplitSpec(validation=0, test=0)
    plan = plan_of(snapshot, None, [column], WindowSpec(context=2, horizon=1), split, None)
    reader = WindowReader(snapshot, plan, [column])
    with WindowStream(
        plan, reader, "train", seed=0, batch_size=50, finish=Finish(reader.features, plan)
    ) as it:
        batches = list(it)
    pairs = [pair for it in batches for pair in zip(it.starts.tolist(), it.ids[..., 0].tolist(), strict=True)]
    return dict(pairs), plan.id


def test_a_missing_token_is_no_zero_unless_that_is_said():
    with pytest.raises(
        MissingValues,
        match=re.escape("'v' has no value in 2 of the 6 rows of a row group, the first in row 1, and 0 is a")
        + ".*nulls='mask'.*drop_window",
    ):
        tokens_read(token_rows())
    expected = {start: [row % 3 for row in range(start, start + 3)] for start in range(38)}
    whole, plan = tokens_read(token_rows(missing=()))
    assert whole == expected
    assert tokens_read(token_rows(missing=()), nulls="mask") == (expected, plan)
    masked, _ = tokens_read(token_rows(), nulls="mask")
    assert (masked[5], masked[6], masked[7]) == ([2, 0, 0], [0, 0, 0], [0, 0, 0])
    dropped, _ = tokens_read(token_rows(), nulls="drop_window")
    assert dropped == {start: ids for start, ids in expected.items() if not 5 <= start <= 8}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.array([1, None] * 20), {"kind": "token"}),
        (pa.array(["a", None] * 20), {"kind": "category"}),
        (pa.array([[1.0, None]] * 40), {"width": 2}),
    ],
)
def test_the_remedy_for_what_cannot_be_filled_does_not_name_filling(values, said):
    index = index_snapshot(
        in_groups(pa.table({"t": range(40), "v": values}), 9),
        entity=None, time="t", columns=[Column(name="v", nulls="error", **said)],
    )  # fmt: skip
    with pytest.raises(MissingValues, match="choose for this column mask or drop_window in the place"):
        make_plan(index, WindowSpec(context=2, horizon=1), SplitSpec(), OrderSpec())


def test_a_split_whose_windows_are_all_dropped_is_told():
    rows = pa.table({"t": range(20), "x": pa.array([1.0] * 15 + [None] * 5)})
    index = index_snapshot(
        in_groups(rows, 20), entity=None, time="t", columns=[Column(name="x", nulls="drop_window")]
    )
    with pytest.raises(
        EmptySplit,
        match=r"all 2 windows of the validation split hold a missing value of x, .* single numbers",
    ):
        make_plan(index, WindowSpec(context=2, horizon=2), SplitSpec(validation=0.15, test=0.1), OrderSpec())


def test_policies_and_what_they_drop_enter_the_plans_id():
    window, split = WindowSpec(context=4, horizon=2), SplitSpec()
    ids = {
        plan_of(snapshot, "name", [Column(name="x", nulls=policy)], window, split, None).id
        for snapshot in (in_groups(gapped(), 25),)
        for policy in NULL_POLICIES
        if policy != "error"
    }
    assert len(ids) == 3
    plain = plan_of(in_groups(gapped(), 25), "name", ["x"], window, split, None)
    assert plain.id in ids
    assert "nulls" not in json.loads(plain.to_bytes())


def test_a_reader_of_other_policies_than_the_plans_is_refused():
    snapshot = in_groups(gapped(), 25)
    plan = plan_of(snapshot, "name", ["x"], WindowSpec(context=4, horizon=2), SplitSpec(), None)
    with pytest.raises(PlanMismatch, match=r"read with null policy forward_fill, but plan .* made with mask"):
        WindowReader(snapshot, plan, [Column(name="x", nulls="forward_fill")])


@pytest.mark.parametrize("nulls", ["fill", ""])
def test_an_unknown_policy_is_refused(nulls):
    with pytest.raises(ValueError, match=r"Column\.nulls must be mask, forward_fill, drop_window, error"):
        Column(name="x", nulls=nulls)


@pytest.mark.parametrize(("rows_at_once", "most"), [(60, 1), (119, 1), (120, 2), (10**6, 8)])
def test_row_groups_whose_nulls_are_looked_for_at_once_are_bounded(monkeypatch, rows_at_once, most):
    monkeypatch.setattr(missing, "_ROWS_AT_ONCE", rows_at_once)
    begun, lock = [], threading.Lock()

    class Watched(MemorySnapshot):
        at_once = seen = 0

        def read(self, file, row_group, columns, rows=None):
            if columns == ["x"]:
                with lock:
                    self.at_once += 1
                    self.seen = max(self.seen, self.at_once)
                    begun.append(threading.get_ident())
            try:
                return super().read(file, row_group, columns, rows)
            finally:
                if columns == ["x"]:
                    with lock:
                        self.at_once -= 1

    times = np.arange(60)
    files = [[pa.table({"t": times + 60 * number, "x": np.ones(60)})] for number in range(24)]
    snapshot = Watched(files)
    index = index_snapshot(snapshot, entity=None, time="t", columns=[Column(name="x", nulls="drop_window")])
    assert index.missing["x"].total == 0
    assert len(begun) == 24
    assert snapshot.seen <= most
    assert len(set(begun)) <= most
