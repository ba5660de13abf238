"""What is chosen for tables of many shapes, and why."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import SPLITS
from pipelines.derive.request import CannotDerive

from .tables import HOUR, START, MemoryTable, derived, hourly, moments, panel, wave

DAY = timedelta(days=1)


def sampled(rows: int, step: timedelta, period: float) -> pa.Table:
    return pa.table({"when": moments(rows, step), "load": wave(rows, period)})


def by_date(dates: list, period: float) -> pa.Table:
    return pa.table({"when": pa.array(dates), "load": wave(len(dates), period)})


MONTHS = [date(2000 + month // 12, month % 12 + 1, 1) for month in range(240)]
QUARTERS = [date(1980 + quarter // 4, quarter % 4 * 3 + 1, 1) for quarter in range(160)]

SHAPES = {  # season, lag, horizon, context, patch, max_gap
    "hours-of-a-day": (sampled(2000, HOUR, 24), (24, 24, 24, 168, 6, HOUR)),
    "hours-of-a-week": (sampled(3000, HOUR, 168), (168, 24, 24, 168, 6, HOUR)),
    "10-minutes": (sampled(9000, HOUR / 6, 144), (144, 144, 144, 432, 12, HOUR / 6)),
    "minutes": (sampled(20_000, HOUR / 60, 1440), (1440, 1440, 60, 1440, 40, HOUR / 60)),
    "seconds": (sampled(20_000, timedelta(seconds=1), 60), (60, 60, 60, 420, 12, timedelta(seconds=1))),
    "days-of-a-week": (sampled(1500, DAY, 7), (7, 7, 14, 49, 7, DAY)),
    "days-of-a-year": (sampled(2500, DAY, 365.25), (365, 7, 14, 374, 11, DAY)),
    "weeks": (sampled(400, 7 * DAY, 52), (52, 52, 8, 156, 6, 7 * DAY)),
    "months": (by_date(MONTHS, 12), (12, 12, 12, 84, 3, timedelta(days=31))),
    "quarters": (by_date(QUARTERS, 4), (4, 4, 8, 28, 1, timedelta(days=92))),
    "ordinals": (pa.table({"step": np.arange(1000), "y": wave(1000, 24)}), (24, 24, 24, 168, 6, None)),
    "ordinals-of-12": (pa.table({"t": np.arange(300), "y": wave(300, 12)}), (12, 12, 24, 84, 3, None)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_windows_follow_the_sampling_and_the_season(name):
    rows, expected = SHAPES[name]
    choice, _ = derived(rows)
    forecast, window = choice.forecast, choice.window
    shape = (forecast.season, forecast.lag, window.horizon, window.context, forecast.patch, choice.max_gap)
    assert shape == expected


REASONED = (
    *("table.time", "table.entity", "table.max_gap", "window.context", "window.horizon", "window.stride"),
    *("split.validation", "split.test", "forecast.target", "forecast.past", "forecast.season"),
    "forecast.scale",
    *("forecast.lag", "forecast.patch", "forecast.hidden", "forecast.layers", "forecast.timezone"),
    *("training.batch_size", "training.ranks", "training.memory_mib"),
)


@pytest.mark.parametrize("name", SHAPES)
def test_every_split_has_windows_and_every_setting_a_reason(name):
    choice, reasons = derived(SHAPES[name][0])
    assert all(choice.plan.windows(split) for split in SPLITS)
    assert choice.window.context % choice.forecast.patch == 0
    assert choice.window.context // choice.forecast.patch <= 48
    assert set(REASONED) <= set(reasons.by_key)
    assert all("\n" not in reason and len(reason) > 5 for reason in reasons.by_key.values())


def test_what_is_told_goes_before_what_would_be_chosen():
    rows = panel(2, 600, other=pa.array(wave(1200, 9)), third=pa.array(wave(1200, 5)))
    choice, reasons = derived(
        rows, time="when", entity="id", target="other", past=("third",), horizon=6, timezone="Europe/Paris"
    )
    assert (choice.forecast.target, choice.forecast.past) == ("other", ("third",))
    assert (choice.window.horizon, choice.forecast.timezone) == (6, "Europe/Paris")
    assert [key for key, why in reasons if "as told" in why] == [
        "table.time", "table.entity", "forecast.target", "forecast.past", "window.horizon",
        "forecast.timezone",
    ]  # fmt: skip


def test_the_tables_own_properties_name_its_keys():
    rows = panel(2, 300).append_column("sent", moments(600))
    choice, reasons = derived(MemoryTable(rows, time="when", entity="id"))
    assert (choice.time, choice.entity) == ("when", "id")
    assert "property" in reasons.by_key["table.time"]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.int32(), pa.dictionary(pa.int32(), pa.string())]
)
def test_the_entity_is_found_by_what_it_does(kind):
    codes = pa.array(np.repeat([3, 1, 2], 300)).cast(pa.string())
    column = codes.dictionary_encode() if pa.types.is_dictionary(kind) else codes.cast(kind)
    rows = panel(3, 300).set_column(0, "turbine", column)
    load = rows["load"]
    rows = rows.append_column("cloud", pa.array(["few", "many"] * 450)).append_column(
        "rpm", load.cast(pa.int64(), safe=False)
    )
    assert derived(rows)[0].entity == "turbine"


def test_an_entity_that_is_told_to_be_none_is_none():
    choice, _ = derived(hourly(400, place=["here"] * 400), entity="")
    assert choice.entity is None


def test_devices_that_live_one_after_the_other_fill_every_split():
    lives = [
        pa.table(
            {
                "id": [f"d{number:02d}"] * 60,
                "when": moments(60, DAY, START + 20 * number * DAY),
                "x": wave(60, 7),
            }
        )
        for number in range(40)
    ]
    choice, _ = derived(pa.concat_tables(lives))
    assert (choice.entity, choice.forecast.season) == ("id", 7)
    assert all(choice.plan.windows(split) > 100 for split in SPLITS)


def test_one_short_series_gets_the_splits_it_needs():
    choice, reasons = derived(sampled(50, DAY, 7))
    assert (choice.window.horizon, choice.forecast.season) == (8, 7)
    assert choice.split.validation == choice.split.test == 0.2
    assert "50" in reasons.by_key["split.test"]


def test_a_history_too_short_for_a_test_drops_it_and_says_so():
    choice, reasons = derived(sampled(50, HOUR, 24), horizon=15)
    assert choice.split.test == 0
    assert "dropped" in reasons.by_key["split.test"]
    assert choice.plan.windows("validation")


def test_many_series_of_30_rows_reach_a_week_back():
    choice, _ = derived(panel(200, 30, DAY, period=7))
    assert (choice.forecast.season, choice.window.context, choice.window.horizon) == (7, 10, 5)
    assert choice.window.stride == 1


def test_a_long_series_is_seen_as_far_as_the_minutes_allow():
    rows = sampled(300_000, HOUR / 12, 288)
    few, many = (derived(rows, minutes=minutes)[0] for minutes in (3, 120))
    assert few.window.stride > many.window.stride == 1
    assert np.gcd(few.window.stride, few.forecast.lag) == 1


def test_a_clock_that_jitters_is_regular():
    late = np.random.default_rng(2).integers(0, 5_000_000, 3000)
    times = pa.array(np.arange(3000) * 600_000_000 + late).cast(pa.timestamp("us", "UTC"))
    choice, reasons = derived(pa.table({"when": times, "load": wave(3000, 144)}))
    assert choice.forecast.season == 144
    assert choice.max_gap == timedelta(minutes=11)
    assert "sampled every 10 minutes" in reasons.remarks[0]


def test_the_target_is_a_measurement_before_a_count_and_a_flag():
    rows = pa.table(
        {
            "when": moments(800),
            "level": wave(800, 24),
            "count": pa.array(np.arange(800) % 7),
            "open": pa.array(np.arange(800) % 5 == 0),
        }
    )
    for left, target in ((rows, "level"), (rows.drop(["level"]), "count")):
        choice, reasons = derived(left)
        assert choice.forecast.target == target
        assert "--target chooses another" in reasons.by_key["forecast.target"]


def test_a_column_that_is_empty_or_always_the_same_is_no_target_unless_it_is_told():
    rows = hourly(800).append_column("empty", pa.nulls(800, pa.float64()))
    rows = rows.append_column("still", pa.array([7.5] * 800))
    choice, reasons = derived(rows)
    assert choice.forecast.target == "load"
    said = "\n".join(reasons.remarks)
    assert "no target: 'still' (always 7.5)" in said
    assert "no target: 'empty' (null wherever it was looked at)" in said
    with pytest.raises(CannotDerive, match="'empty' is null in all"):
        derived(rows, target="empty")


def test_the_target_is_the_last_number_unless_one_is_named_so():
    last = hourly(400, other=wave(400, 5))
    assert derived(last)[0].forecast.target == "load"
    named = last.rename_columns(["when", "Target", "load"])
    assert derived(named)[0].forecast.target == "Target"


def test_dates_at_the_edge_of_daylight_saving_are_no_gaps():
    times = [datetime(2024, 3, 25, tzinfo=UTC) + hour * HOUR for hour in range(400)]
    rows = pa.table({"when": pa.array(times, pa.timestamp("us", "Europe/Berlin")), "load": wave(400, 24)})
    assert len(derived(rows)[0].plan.segments.series) == 1


def test_a_sample_reads_a_part_of_a_large_table():
    table = MemoryTable(panel(40, 40_000).select(["id", "when", "load"]), 20_000)
    derived(table)
    read = sum(count for (_, _, columns), count in table.snapshot().reads.items() if "load" in columns)
    assert 0 < read <= 50
