"""Kinds, roles and scaling of columns, in memory and on real tables, beside a naive reading with pandas."""

import json
from dataclasses import fields

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm.windows import (
    Column,
    Learned,
    OrderSpec,
    SeriesScaling,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    fit_series_scaling,
    fit_vocabularies,
    index_snapshot,
    make_plan,
    open_windows,
)
from lstm.windows.adapters.items import item_of
from lstm.windows.errors import MissingColumn, MissingValues, VaryingValues, WindowError, WrongColumnType
from lstm.windows.features.finish import Finish
from lstm.windows.features.learned import learn
from lstm.windows.features.static import find_statics
from storage.tables import create_table, lake_for

from .conftest import HOUR, in_groups
from .tables import COLUMNS, samples
from .test_exactly_once import plan_for

HOURS, CONTEXT, HORIZON = 60, 5, 3
SPLIT = SplitSpec(validation=0.2, test=0.2)
TRAINING = 36
"""Rows of each entity that are for training."""


def rows_of(names=("a", "b", "c"), poison=False):
    """Hourly rows of each name; what follows the training rows can be poisoned.

    Two static columns have no value in the training rows of the second name.
    """
    random = np.random.default_rng(4)
    count = HOURS * len(names)
    hour = np.tile(np.arange(HOURS), len(names))
    number = np.repeat(np.arange(len(names)), HOURS)
    late = poison & (hour >= TRAINING)
    unknown = (number == 1) & (hour < TRAINING)
    kinds = np.array(["sun", "rain", "Snow", "é"])[random.integers(0, 4, count)]
    return pa.table(
        {
            "name": np.array(names)[number],
            "t": pa.array(hour * HOUR, pa.timestamp("us", "UTC")),
            "load": np.where(late, 1e6, 100.0 * number + random.standard_normal(count)),
            "temp": pa.array(
                np.where(late, -1e6, random.standard_normal(count)), mask=random.random(count) < 0.1
            ),
            "sky": pa.array(np.where(late, "hail", kinds), mask=random.random(count) < 0.1),
            "open": random.random(count) < 0.5,
            "token": random.integers(0, 2**31 - 1, count),
            "region": np.array(["north", "south", "north"])[number % 3],
            "area": 10.0 + number,
            "frame": pa.array(
                list(random.standard_normal((count, 3)).astype(np.float32)), pa.list_(pa.float32())
            ),
            "built": pa.array(np.where(late, 1e6, 1900.0 + number), mask=unknown),
            "owner": pa.array(np.where(late, "Mallory", "Ann"), mask=unknown),
        }
    )


ALL = (
    Column(name="load", role="target", scaling="series"),
    Column(name="temp", role="past", scaling="window", nulls="forward_fill"),
    Column(name="sky", kind="category", role="past"),
    Column(name="open", kind="category", role="known"),
    Column(name="token", kind="token", role="known"),
    Column(name="region", kind="category", role="static"),
    Column(name="area", role="static"),
    Column(name="frame", width=3, role="known"),
)


@pytest.fixture
def opened(tmp_path):
    """Windows of a local Delta table of these rows."""

    def make(columns, rows=None, **options):
        place = tmp_path / f"table {len(list(tmp_path.iterdir()))}"
        write_deltalake(place, rows_of() if rows is None else rows)
        defaults = {"context": CONTEXT, "horizon": HORIZON, "splits": SPLIT, "order": OrderSpec(lanes=4)}
        return open_windows(str(place), time="t", entity="name", columns=columns, **defaults | options)

    return make


def all_of(windows, split="train"):
    """The batches of a split as one, in the order of series and rows."""
    with windows.stream(split) as stream:
        batches = list(stream)
        order = np.lexsort(
            [np.concatenate([getattr(it, name) for it in batches]) for name in ("starts", "series")]
        )
        names = [it.name for it in fields(batches[0]) if isinstance(getattr(batches[0], it.name), np.ndarray)]
        return {name: np.concatenate([getattr(it, name) for it in batches])[order] for name in names}, stream


@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_every_kind_role_and_scaling_equals_pandas(kind, s3_server, bucket):
    lake, rows, uri = lake_for(s3_server), rows_of(), f"s3://{bucket.name}/{kind}-columns"
    table = create_table(lake, uri, rows.schema, format=kind, row_group_rows=13)
    for number in range(3):
        parts = [rows.slice(HOURS * series + 20 * number, 20) for series in range(3)]
        table.append(pa.concat_tables(parts), transaction=str(number))
    windows = open_windows(
        uri, lake=lake, time="t", entity="name", columns=ALL, context=CONTEXT, horizon=HORIZON, splits=SPLIT,
        order=OrderSpec(lanes=4), calendar="Europe/Berlin",
    )  # fmt: skip
    assert windows.static_columns == (("area",), ("region",))
    for split, first in (("train", 0), ("test", 48 - CONTEXT)):
        seen, stream = all_of(windows, split)
        assert stream.columns == ("load", "temp", "frame[0]", "frame[1]", "frame[2]", "temp:filled")
        assert stream.id_columns == ("sky", "open", "token")
        expected = naive(rows.to_pandas(), first, len(seen["series"]) // 3)
        assert seen.keys() >= expected.keys()
        for name, values in expected.items():
            assert seen[name].shape == values.shape, name
            assert np.allclose(seen[name], values, atol=2e-4, rtol=1e-4, equal_nan=True), name
        assert seen["calendar"].shape == (len(seen["series"]), CONTEXT + HORIZON, 12)


def naive(frame, first, count):
    """What batches of `ALL` hold, with pandas; [window, ...] by series, then row."""
    frame = frame.assign(hour=np.tile(np.arange(HOURS), 3))
    training = frame[frame["hour"] < TRAINING]
    moments = training.groupby("name")["load"].agg(["mean", lambda it: it.std(ddof=0)]).to_numpy()
    sky = {value: 2 + place for place, value in enumerate(sorted(set(training["sky"].dropna())))}
    found = {
        name: [] for name in ("past", "known", "target", "past_ids", "known_ids", "static", "static_ids")
    }
    for number, (_, own) in enumerate(frame.groupby("name")):
        temp = own["temp"].ffill()
        flag = own["temp"].isna() & temp.notna()
        load = (own["load"] - moments[number, 0]) / moments[number, 1]
        for start in range(first, first + count):
            past, whole = slice(start, start + CONTEXT), slice(start, start + CONTEXT + HORIZON)
            context = temp.iloc[past]
            scaled = (context - context.mean()) / context.std(ddof=0)
            found["past"].append(np.stack([load.iloc[past], scaled, flag.iloc[past]], axis=1))
            found["past_ids"].append([[0 if pd.isna(it) else sky.get(it, 1)] for it in own["sky"].iloc[past]])
            found["known"].append(np.stack(own["frame"].iloc[whole]))
            found["known_ids"].append(
                np.stack([own["open"].iloc[whole] + 2, own["token"].iloc[whole]], axis=1)
            )
            found["target"].append(load.iloc[start + CONTEXT : start + CONTEXT + HORIZON].to_numpy()[:, None])
            found["static"].append([10.0 + number])
            found["static_ids"].append([[2, 3, 2][number]])
    return {name: np.array(values) for name, values in found.items()}


def test_nothing_before_the_boundary_knows_of_poison_after_it(opened):
    columns = (
        *ALL, Column(name="built", role="static"), Column(name="owner", kind="category", role="static"),
    )  # fmt: skip
    clean, poisoned = (all_of(opened(columns, rows_of(poison=poison)))[0] for poison in (False, True))
    assert clean.keys() == poisoned.keys()
    for name, values in clean.items():
        assert np.array_equal(values, poisoned[name], equal_nan=True), name
    built, owner = clean["static"][:, 1], clean["static_ids"][:, 1]
    assert np.array_equal(
        built, np.array([1900, np.nan, 1902], np.float32)[clean["series"]], equal_nan=True
    )  # b's value is told after the boundary only
    assert np.array_equal(owner, np.array([2, 0, 2])[clean["series"]])
    late, _ = all_of(opened(columns, rows_of(poison=True)), "test")
    assert (late["past_ids"][late["past_ids"] > 0] == 1).all()  # hail is in no training row


def test_the_horizon_of_past_columns_is_in_no_array_of_a_batch(opened):
    columns = (Column(name="load", role="past"), Column(name="sky", kind="category", role="past"))
    rows = rows_of()
    rows = rows.set_column(2, "load", pa.array(np.tile(np.arange(HOURS, dtype=np.float64), 3)))
    seen, stream = all_of(opened(columns, rows))
    assert np.isnan(seen["values"][:, CONTEXT:]).all()
    assert (seen["ids"][:, CONTEXT:] == 0).all()
    assert np.array_equal(seen["past"], seen["values"][:, :CONTEXT])
    assert seen["known"].shape[2] == seen["target"].shape[2] == 0
    again = opened(columns, rows).stream("train").batch(0, 0)
    assert np.isnan(again.values[:, CONTEXT:]).all()
    assert stream.column(again, "sky").shape == (len(again), CONTEXT + HORIZON)


def test_every_array_of_a_batch_is_contiguous(opened):
    second = Column(name="x", role="past"), Column(name="y", role="target")
    rows = rows_of()
    rows = rows.append_column("x", rows["load"]).append_column("y", rows["load"])
    with opened((*ALL, *second), rows, calendar="UTC").stream("train", batch_size=10) as stream:
        for batch in (next(iter(stream)), stream.batch(0, 1)):
            held = {it.name: getattr(batch, it.name) for it in fields(batch)}
            arrays = {name: array for name, array in held.items() if isinstance(array, np.ndarray)}
            assert len(arrays) >= 15
            assert all(array.flags.c_contiguous for array in arrays.values())


def test_other_ranks_a_restart_and_a_replay_give_the_same_arrays(opened):
    windows = opened(ALL, calendar="UTC")
    fields = ("past", "past_ids", "known", "known_ids", "target", "static", "static_ids", "calendar", "level")

    def seen(batches):
        return sorted(
            (int(position), *(getattr(batch, name)[place].tobytes() for name in fields))
            for batch in batches
            for place, position in enumerate(batch.positions)
        )

    with windows.stream("train", batch_size=10) as stream:
        whole = list(stream)
        state = stream.state_after(0, 2)
        replayed = [stream.batch(0, index) for index in range(len(stream))]
    assert seen(replayed) == seen(whole)
    parts = []
    for rank in range(3):
        with windows.stream("train", batch_size=10, rank=rank, ranks=3) as stream:
            stream.load_state_dict(state)
            parts += list(stream)
    assert seen(parts) == seen(whole[3:])


def test_windows_are_dropped_for_missing_values_that_they_read(opened):
    rows = rows_of(names=("a",))
    rows = rows.set_column(2, "load", pa.array([None if at == 20 else 1.0 for at in range(HOURS)]))
    total = opened([Column(name="load")], rows).plan.windows("train")
    for role, lost in (("past", CONTEXT), ("any", CONTEXT + HORIZON)):
        windows = opened([Column(name="load", role=role, nulls="drop_window")], rows)
        assert windows.plan.windows("train") == total - lost
        seen, _ = all_of(windows)
        assert not np.isnan(seen["values"][:, :CONTEXT]).any()


def test_what_was_learned_survives_json_and_serves_another_table(opened):
    windows = opened(ALL)
    learned = Learned.from_json(json.loads(json.dumps(windows.learned.to_json())))
    assert learned.to_json() == windows.learned.to_json()
    more = opened(ALL, rows_of(names=("a", "b", "new")), learned=learned)
    assert windows.new_entities == ()
    assert more.new_entities == ("new",)
    seen, _ = all_of(more)
    whole = windows.learned.scaling.whole
    assert np.allclose(seen["level"][seen["series"] == 2][:, 0], whole.mean[0])
    assert np.allclose(seen["spread"][seen["series"] == 2][:, 0], whole.std[0])
    contexts = more.last_contexts().batch
    assert contexts.past.shape == (3, CONTEXT, 3)
    assert np.isnan(contexts.target).all()
    with pytest.raises(WindowError, match="nothing was learned of the columns sky"):
        opened(ALL, learned=Learned({}, learned.scaling))


@given(samples(), st.sampled_from([0, 0.3]))
@settings(deadline=None, max_examples=30)
def test_moments_by_series_equal_those_of_their_known_training_values(sample, test):
    plan = plan_for(
        sample, WindowSpec(context=1, horizon=1), SplitSpec(validation=0, test=test), OrderSpec(lanes=3)
    )
    scaling = fit_series_scaling(sample.snapshot, plan, COLUMNS)
    assert SeriesScaling.from_json(json.loads(json.dumps(scaling.to_json()))).to_json() == scaling.to_json()
    everything = []
    for number, name in enumerate(plan.series):
        training = [row for row in sample.rows if row[0] == name and row[1] < plan.splits["train"][1]]
        everything += training
        for place in range(2):
            known = np.array([row[2 + place] for row in training], np.float64)
            known = known[~np.isnan(known)]
            assert scaling.count[number, place] == len(known)
            assert scaling.mean[number, place] == pytest.approx(known.mean() if len(known) else 0, abs=1e-9)
            assert scaling.std[number, place] == pytest.approx(known.std() if len(known) else 0, abs=1e-7)
    for place in range(2):
        known = np.array([row[2 + place] for row in everything], np.float64)
        known = known[~np.isnan(known)]
        assert scaling.whole.count[place] == len(known)
        assert scaling.whole.std[place] == pytest.approx(known.std() if len(known) else 0, abs=1e-7)


@pytest.mark.parametrize("scaling", ["global", "series"])
def test_level_and_spread_undo_the_scaling(opened, scaling):
    plain, _ = all_of(opened([Column(name="load"), Column(name="temp")]))
    seen, _ = all_of(opened([Column(name="load", scaling=scaling), Column(name="temp")]))
    restored = seen["values"] * seen["spread"][:, None] + seen["level"][:, None]
    assert np.allclose(restored, plain["values"], rtol=1e-5, atol=1e-3, equal_nan=True)
    assert np.array_equal(seen["values"][..., 1], plain["values"][..., 1], equal_nan=True)


@pytest.mark.parametrize(
    "how", [{}, {"scaling": "global", "nulls": "forward_fill"}, {"role": "static"}], ids=str
)
def test_lists_of_one_number_are_read_as_that_number(how):
    rows = rows_of().select(["name", "t", "temp", "load"])
    if how.get("role") == "static":
        rows = rows.set_column(2, "temp", pa.array(np.repeat([1.5, 2.5, 3.5], HOURS)))
    plain = rows.column("temp").combine_chunks()
    lists = pa.array(
        [None if value is None else [value] for value in plain.to_pylist()], pa.list_(pa.float64(), 1)
    )
    columns = [Column(name="temp", **how), Column(name="load")]
    assert_same(*(read_all(in_groups(rows.set_column(2, "temp", it), 25), columns) for it in (plain, lists)))


def read_all(snapshot, columns):
    """The first batch of these columns, by the parts that `open_windows` is made of."""
    index = index_snapshot(snapshot, entity="name", time="t", columns=columns)
    plan = make_plan(index, WindowSpec(context=CONTEXT, horizon=HORIZON), SPLIT, OrderSpec(lanes=4))
    reader, static = WindowReader(snapshot, plan, columns), [it for it in columns if it.role == "static"]
    finish = Finish(
        reader.features,
        plan,
        statics=find_statics(snapshot, plan, static, {}) if static else None,
        scaling=learn(snapshot, plan, columns).scaling,
    )
    with WindowStream(plan, reader, "train", seed=0, batch_size=64, finish=finish) as stream:
        return next(iter(stream))


def assert_same(one, other):
    for name in ("values", "static", "level", "spread"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None and b is None) or np.array_equal(a, b, equal_nan=True), name


def test_a_vocabulary_is_in_order_whatever_the_layout():
    rows = rows_of()
    found = []
    for group_rows in (7, 50, 180):
        from_rows = in_groups(rows, group_rows)
        plan = plan_for_rows(from_rows)
        found.append(fit_vocabularies(from_rows, plan, ["sky", "open"]))
    assert found[0] == found[1] == found[2]
    assert found[0]["sky"].values == ("Snow", "rain", "sun", "é")
    assert (found[0]["sky"].size, found[0]["open"].values) == (6, (False, True))


def plan_for_rows(snapshot):
    index = index_snapshot(snapshot, entity="name", time="t")
    return make_plan(index, WindowSpec(context=CONTEXT, horizon=HORIZON), SPLIT, OrderSpec(lanes=4))


def varying():
    rows = rows_of()
    return rows.set_column(8, "area", pa.array(np.arange(float(rows.num_rows))))


def test_a_static_column_that_varies_is_refused_or_its_first_value_taken(opened):
    with pytest.raises(VaryingValues, match="'area' holds several values for 3 of 3 entities, the first 'a'"):
        opened([Column(name="load"), Column(name="area", role="static")], varying())
    seen, _ = all_of(
        opened([Column(name="load"), Column(name="area", role="static", varies="first")], varying())
    )
    assert np.array_equal(seen["static"][:, 0], seen["series"] * HOURS)


def test_entities_without_training_rows_take_the_first_value_of_their_own(opened):
    rows = rows_of()
    late = rows.filter(
        pa.array((rows["name"].to_numpy() != "b") | (np.tile(np.arange(HOURS), 3) >= TRAINING))
    )
    columns = [Column(name="load"), Column(name="built", role="static")]
    opening = SplitSpec(validation_from=iso(TRAINING), test_from=iso(48))
    seen, _ = all_of(opened(columns, late, splits=opening), "test")
    assert np.array_equal(np.unique(seen["series"]), [0, 1, 2])
    assert np.array_equal(seen["static"][:, 0], 1900 + seen["series"])


def test_a_static_token_may_be_zero_and_a_missing_one_is_refused(opened):
    number = np.repeat(np.arange(3), HOURS)
    columns = [Column(name="load"), Column(name="speaker", kind="token", role="static")]
    rows = rows_of().append_column("speaker", pa.array(number))
    seen, _ = all_of(opened(columns, rows))
    assert np.array_equal(seen["static_ids"][:, 0], seen["series"])
    varying = rows_of().append_column(
        "speaker", pa.array(np.where(np.arange(len(number)) == 1, 0, number + 1))
    )
    with pytest.raises(VaryingValues, match="'speaker' holds several values for 1 of 3 entities"):
        opened(columns, varying)
    holed = rows_of().append_column("speaker", pa.array(number, mask=number == 1))
    with pytest.raises(
        MissingValues, match="'speaker' has no token for 1 of 3 entities, the first 'b', and 0"
    ):
        opened(columns, holed)
    masked = Column(name="speaker", kind="token", role="static", nulls="mask")
    seen, _ = all_of(opened([columns[0], masked], holed))
    assert np.array_equal(seen["static_ids"][:, 0], np.array([0, 0, 2])[seen["series"]])


def iso(hour):
    return (pd.Timestamp(0) + pd.Timedelta(hours=hour)).isoformat()


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (Column(name="frame"), WrongColumnType, "say how many numbers each row holds"),
        (Column(name="load", width=3), WrongColumnType, "a width of 3 is for lists of numbers"),
        (
            Column(name="load", kind="category"),
            WrongColumnType,
            "categories must be text, integers or booleans",
        ),
        (Column(name="sky", kind="token"), WrongColumnType, "tokens must be integers"),
        (Column(name="sky"), WrongColumnType, "features must be numbers or booleans"),
        (Column(name="skye", kind="category"), MissingColumn, "no column 'skye'"),
    ],
)
def test_columns_that_are_not_what_they_are_said_to_be_are_told_first(opened, column, error, message):
    with pytest.raises(error, match=message):
        opened([column])


@pytest.mark.parametrize(
    "columns", [["load", "load"], [Column(name="load", scaling="global"), "temp", "load"]]
)
def test_a_column_is_named_once(opened, columns):
    with pytest.raises(WindowError, match="column 'load' is named 2 times, and only the settings of one"):
        opened(columns)


def test_lists_of_another_length_are_told(opened):
    windows = opened([Column(name="frame", width=2)])
    with (
        windows.stream("train") as stream,
        pytest.raises(WrongColumnType, match="not of 2 numbers, the first of 3"),
    ):
        next(iter(stream))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "text"},
        {"role": "future"},
        {"scaling": "entity"},
        {"width": 0},
        {"kind": "category", "nulls": "forward_fill"},
        {"kind": "category", "scaling": "global"},
        {"role": "static", "nulls": "error"},
    ],
)
def test_what_a_column_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"^Column\."):
        Column(name="x", **wrong)


def test_fields_that_columns_do_not_give_are_told(opened):
    with opened(["load"]).stream("train") as stream:
        batch = next(iter(stream))
    with pytest.raises(WindowError, match="have no static, calendar: its columns give none"):
        item_of(batch, ("values", "static", "calendar"))


def test_a_calendar_needs_a_time_zone_and_timestamps(opened):
    with pytest.raises(WindowError, match="no time zone 'Mars'"):
        opened(["load"], calendar="Mars")
