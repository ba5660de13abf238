"""Splits are made by the time of whole horizons, and the future never reaches training."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import (
    SPLITS,
    OrderSpec,
    Plan,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    fit_scaling,
    index_snapshot,
    make_plan,
    rolling_origin,
)
from lstm.windows.errors import EmptySplit, WindowError
from lstm.windows.features.series_scaling import fit_series_scaling
from lstm.windows.features.vocabulary import fit_vocabularies
from lstm.windows.plan.hold_out import held_out
from lstm.windows.plan.splits import boundaries_of

from .conftest import HOUR, in_groups, sorted_table
from .drain import drain


@pytest.mark.parametrize("hours", [8760, 40, 7])
@pytest.mark.parametrize("share", [0.15, 0.1, 0.3])
def test_a_share_is_a_number_of_hours_and_decimal(hours, share):
    bounds = boundaries_of(SplitSpec(validation=share, test=share), 5, 5 + (hours - 1) * HOUR, HOUR)
    test_hours = hours - (bounds["test"][0] - 5) // HOUR
    both = hours - (bounds["validation"][0] - 5) // HOUR
    assert (test_hours, both) == (
        int(round(share * 100) * hours // 100),
        int(round(share * 200) * hours // 100),
    )
    assert bounds["train"] == (None, bounds["validation"][0])
    assert bounds["validation"][1] == bounds["test"][0]
    assert bounds["test"][1] is None


def test_the_last_15_percent_of_a_years_hours_are_1314_of_them():
    bounds = boundaries_of(SplitSpec(validation=0.15, test=0.15), 0, 8759 * HOUR, HOUR)
    assert bounds["test"][0] == (8760 - 1314) * HOUR
    assert bounds["validation"][0] == (8760 - 2628) * HOUR


def test_an_embargo_ends_the_earlier_split_sooner():
    plain = boundaries_of(SplitSpec(validation=0.2, test=0.2), 0, 99 * HOUR, HOUR)
    apart = boundaries_of(SplitSpec(validation=0.2, test=0.2, embargo_rows=3), 0, 99 * HOUR, HOUR)
    assert apart["train"] == (None, plain["train"][1] - 3 * HOUR)
    assert apart["validation"] == (plain["validation"][0], plain["validation"][1] - 3 * HOUR)
    assert apart["test"] == plain["test"]


def test_each_horizon_lies_wholly_in_its_split_and_straddlers_in_none(two_series):
    plan, reader = two_series()
    starts = {}
    for split in SPLITS:
        first, end = plan.splits[split]
        with WindowStream(plan, reader, split, seed=0, batch_size=100, ordered=True) as stream:
            (batch,) = stream
        horizons = batch.times[:, plan.window.context :]
        assert first is None or horizons.min() >= first
        assert end is None or horizons.max() < end
        starts[split] = set(batch.starts.tolist())
        assert len(batch) == plan.windows(split)
    # 40 hours: training to 24, validation to 32, test to 40; a horizon takes rows 4 and 5 of a window.
    assert starts == {
        "train": set(range(19)),
        "validation": set(range(20, 27)),
        "test": set(range(28, 35)),
    }


def poisoned(table, after):
    """The same table with every value from a time on replaced."""
    times = table.column("t").cast(pa.int64()).to_numpy()
    late = times >= after
    for name in ("x", "y"):
        column = table.column(name).to_numpy(zero_copy_only=False).copy()
        column[late] = 1e30
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(column, from_pandas=True))
    return table


def test_poisoned_future_changes_nothing_before_it(two_series):
    plan, reader = two_series(group_rows=25)
    expected = drain(plan, reader, "train", ranks=2, seed=1, batch_size=7)
    scaling = fit_scaling(reader_snapshot(25), plan, ("x", "y"))

    table = poisoned(sorted_table(), plan.splits["train"][1])
    snapshot = in_groups(table, 25)
    other, other_reader = two_series(snapshot=snapshot)
    assert other.splits == plan.splits
    assert drain(other, other_reader, "train", ranks=2, seed=1, batch_size=7) == expected
    assert fit_scaling(snapshot, other, ("x", "y")) == scaling
    (_, _, _, validation), *_ = drain(other, other_reader, "validation", ranks=1, seed=1, batch_size=7)
    poison = np.float32(1e30).tobytes()
    assert all(poison in values for *_, values in validation)


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_no_fold_of_a_backtest_learns_from_its_future(fold):
    window, order = WindowSpec(context=4, horizon=2), OrderSpec(lanes=4, pool=2)

    def read(table):
        snapshot = in_groups(table, 25)
        index = index_snapshot(snapshot, entity="name", time="t")
        spec = rolling_origin(index, folds=3, test_rows=6, validation_rows=5, embargo_rows=1)[fold]
        plan = make_plan(index, window, spec, order)
        reader = WindowReader(snapshot, plan, ("x", "y"))
        train = drain(plan, reader, "train", ranks=2, seed=1, batch_size=7)
        validation = drain(plan, reader, "validation", ranks=1, seed=1, batch_size=7)
        return plan, train, validation, fit_scaling(snapshot, plan, ("x", "y"))

    plan, train, validation, scaling = read(sorted_table())
    ends = [22 + 6 * fold - 5, 22 + 6 * fold, 28 + 6 * fold]
    assert plan.splits == {
        "train": (None, (ends[0] - 1) * HOUR),
        "validation": (ends[0] * HOUR, (ends[1] - 1) * HOUR),
        "test": (ends[1] * HOUR, ends[2] * HOUR),
    }
    other, *same = read(poisoned(sorted_table(), plan.splits["test"][0]))
    assert (other.splits, *same) == (plan.splits, train, validation, scaling)
    other, *same = read(poisoned(sorted_table(), plan.splits["train"][1]))
    assert (other.splits, same[0], same[2]) == (plan.splits, train, scaling)
    assert same[1] != validation


def test_folds_that_leave_nothing_to_train_on_are_refused():
    index = index_snapshot(in_groups(sorted_table(), 25), entity="name", time="t")
    with pytest.raises(WindowError, match="take 40 of the 40 sampling times"):
        rolling_origin(index, folds=3, test_rows=10, validation_rows=10)


def test_splits_begin_at_the_times_that_are_named(two_series):
    named = {"validation_from": "1970-01-02T01:00+01:00", "test_from": "1970-01-02T08:00"}
    plan, _ = two_series(split=SplitSpec(**named))
    assert plan.splits["train"] == (None, 24 * HOUR)
    assert plan.splits["test"] == (32 * HOUR, None)
    assert Plan.from_bytes(plan.to_bytes()).id == plan.id
    plan, _ = two_series(split=SplitSpec(validation_from="1970-01-02"))
    assert (plan.splits["validation"], plan.windows("test")) == ((24 * HOUR, None), 0)
    table = pa.table({"t": np.arange(20), "x": np.arange(20.0)})
    index = index_snapshot(in_groups(table, 10), entity=None, time="t")
    window = WindowSpec(context=1, horizon=1)
    plan = make_plan(index, window, SplitSpec(validation_from="12", test_from="15"), OrderSpec(lanes=2))
    assert [plan.windows(split) for split in SPLITS] == [11, 3, 5]


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"validation_from": "yesterday"}, "'yesterday' is no time: write ISO 8601"),
        ({"validation_from": "1970-01-03", "test_from": "1970-01-02"}, "must follow each other"),
        ({"validation_from": "1990-01-03"}, "no window has its whole horizon"),
    ],
)
def test_times_that_cannot_divide_the_table_are_refused(two_series, named, says):
    with pytest.raises(WindowError, match=says):
        two_series(split=SplitSpec(**named))


def reader_snapshot(rows):
    return in_groups(sorted_table(), rows)


def test_a_split_without_a_window_is_refused(two_series):
    with pytest.raises(EmptySplit, match="validation split") as refused:
        two_series(split=SplitSpec(validation=0.01, test=0.2))
    assert "change the shares" in str(refused.value)


def test_a_split_of_share_zero_is_refused_by_streams_only(two_series):
    plan, reader = two_series(split=SplitSpec(validation=0, test=0.2))
    assert plan.windows("validation") == 0
    with pytest.raises(EmptySplit, match="validation split has 0 windows"):
        WindowStream(plan, reader, "validation", seed=0, batch_size=1)


def test_boundaries_fall_right_inside_irregular_pieces():
    """Times are read again only for the pieces whose steps differ."""
    times = np.cumsum([1, 1, 2, 1, 5, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    table = pa.table({"t": times, "x": np.arange(20.0)})
    snapshot = in_groups(table, 10)
    index = index_snapshot(snapshot, entity=None, time="t")
    plan = make_plan(
        index, WindowSpec(context=1, horizon=1), SplitSpec(validation=0, test=0.7), OrderSpec(lanes=2)
    )
    assert index.interval == 1
    end = plan.splits["train"][1]
    before = int((times < end).sum())
    assert plan.windows("train") == before - 1
    assert plan.windows("test") == 20 - before
    reads = [key for key in snapshot.reads.elements() if key[2] == ("t",)]
    assert len(reads) == 2 + 1  # the scan, and the one row group that the boundary cuts


def test_context_may_reach_back_into_an_earlier_split(two_series):
    plan, reader = two_series()
    with WindowStream(plan, reader, "test", seed=0, batch_size=100, ordered=True) as stream:
        (batch,) = stream
    assert batch.times[:, 0].min() < plan.splits["validation"][1]


def test_columns_of_a_reader_decide_the_features(two_series):
    plan, _ = two_series()
    snapshot = reader_snapshot(25)
    narrow = WindowReader(snapshot, plan, ("y",))
    wide = WindowReader(snapshot, plan, ("x", "y"))
    one = WindowStream(plan, narrow, "train", seed=0, batch_size=100)
    two = WindowStream(plan, wide, "train", seed=0, batch_size=100)
    with one, two:
        assert one.batch(0, 0).values.tobytes() == two.batch(0, 0).values[..., 1:].tobytes()


def test_specs_refuse_what_makes_no_sense():
    for wrong in ({"context": 0}, {"horizon": 0}, {"stride": 0}):
        with pytest.raises(ValueError, match="must be >= 1 row"):
            replace(WindowSpec(context=1, horizon=1), **wrong)
    for wrong in ({"validation": 1.0}, {"test": -0.1}, {"validation": float("nan")}, {"embargo_rows": -1}):
        with pytest.raises(ValueError, match=r"SplitSpec\."):
            replace(SplitSpec(), **wrong)
    with pytest.raises(ValueError, match=r"test_from needs SplitSpec\.validation_from"):
        SplitSpec(test_from="2024-01-01")
    with pytest.raises(ValueError, match="leave a share for training"):
        SplitSpec(validation=0.5, test=0.5)
    for wrong in ({"lanes": 0}, {"pool": 0}, {"last": "half"}):
        with pytest.raises(ValueError, match=r"OrderSpec\."):
            replace(OrderSpec(), **wrong)


def held_out_plan(snapshot, **named):
    split = SplitSpec(validation=0, test=0.2, **named)
    index = index_snapshot(snapshot, entity="name", time="t")
    return make_plan(index, WindowSpec(context=4, horizon=2), split, OrderSpec(lanes=4, pool=2))


def many_entities(poison=()):
    """30 entities of 20 rows; those named have other values in all of them."""
    rows = [(f"sensor {number}", number, hour) for number in range(30) for hour in range(20)]
    return in_groups(
        pa.table(
            {
                "name": [name for name, *_ in rows],
                "t": pa.array([hour for *_, hour in rows]),
                "x": pa.array([1e30 if name in poison else a + b for name, a, b in rows], pa.float32()),
                "kind": [f"{'bad' if name in poison else 'kind'} {a % 3}" for name, a, _ in rows],
            }
        ),
        25,
    )


def test_entities_that_are_held_out_are_their_splits_at_all_times_and_the_others_are_split_by_time():
    plan = held_out_plan(many_entities(), test_entities=0.2, validation_names=["sensor 3"])
    held = plan.held_out
    assert plan.series[int(np.flatnonzero(held["validation"])[0])] == "sensor 3"
    assert held["validation"].sum() == 1
    test = int(held["test"].sum())
    assert 1 <= test <= 15
    assert not (held["test"] & held["validation"]).any()
    stay = 30 - 1 - test
    # 15 windows of 6 in 20 rows; of those that stay 16 rows are training's, and 3 windows the test's
    assert {split: plan.windows(split) for split in SPLITS} == {
        "train": stay * 11,
        "validation": 15,
        "test": test * 15 + stay * 3,
    }
    again = type(plan).from_bytes(plan.to_bytes())
    assert again.id == plan.id
    assert np.array_equal(again.held_out["test"], held["test"])


def test_nothing_of_training_knows_of_an_entity_that_is_held_out():
    spec = {"test_entities": 0.2, "validation_entities": 0.2}
    plan = held_out_plan(many_entities(), **spec)
    poison = {plan.series[number] for number in np.flatnonzero(~plan.trained_on)}
    assert len(poison) > 2

    def read(snapshot):
        plan = held_out_plan(snapshot, **spec)
        reader = WindowReader(snapshot, plan, ("x",))
        seen = drain(plan, reader, "train", ranks=2, seed=1, batch_size=7)
        learned = (
            fit_scaling(snapshot, plan, ("x",)),
            fit_series_scaling(snapshot, plan, ("x",)).mean[plan.trained_on].tolist(),
            fit_vocabularies(snapshot, plan, ("kind",)),
        )
        return seen, *learned, drain(plan, reader, "validation", ranks=1, seed=1, batch_size=7)

    *clean, validation = read(many_entities())
    *other, poisoned_validation = read(many_entities(poison))
    assert clean == other
    assert validation != poisoned_validation


def test_an_entity_stays_held_out_as_others_come():
    few = tuple(f"sensor {number}" for number in range(30))
    many = tuple(f"sensor {number}" for number in range(300))
    spec = SplitSpec(test_entities=0.3)
    before, after = (
        {name for name, out in zip(names, held_out(spec, names)["test"], strict=True) if out}
        for names in (few, many)
    )
    assert before == after & set(few)
    assert 0.2 < len(after) / 300 < 0.4


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"test_names": ["nobody"]}, "test_names holds out 'nobody', but the table has no such entity"),
        ({"test_entities": 1e-9}, "holds none of 30 entities out for the test split; take a larger share"),
        ({"test_names": [f"sensor {number}" for number in range(30)]}, "all 30 entities are held out"),
    ],
)
def test_a_hold_out_that_cannot_be_is_refused(spec, message):
    with pytest.raises(WindowError, match=message):
        held_out_plan(many_entities(), **spec)


@pytest.mark.parametrize("spec", [{"test_entities": 1.0}, {"test_entities": 0.5, "validation_entities": 0.5}])
def test_shares_of_entities_must_leave_some_for_training(spec):
    with pytest.raises(ValueError, match="share"):
        SplitSpec(**spec)


def test_one_series_has_no_entity_to_hold_out():
    with pytest.raises(WindowError, match="one series"):
        held_out(SplitSpec(test_entities=0.5), (None,))
