"""Tables that nothing can be derived from are refused with numbers and a remedy; odd ones are told of."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from storage.errors import UserError

from .tables import HOUR, derived, hourly, moments, panel, wave


def without_time() -> pa.Table:
    return pa.table({"day": ["2024-01-01", "2024-01-02"] * 20, "load": wave(40, 7)})


def two_times() -> pa.Table:
    return pa.table({"made": moments(400), "sent": moments(400), "load": wave(400, 24)})


def spoilt(position: int, value: float) -> pa.Table:
    load = wave(1000, 24)
    load[position] = value
    return pa.table({"when": moments(1000), "load": load})


def by_two_columns() -> pa.Table:
    each = [panel(2, 300).append_column("side", pa.array([side] * 600)) for side in ("left", "right")]
    return pa.concat_tables(each)


def entity_with_nulls() -> pa.Table:
    rows = panel(2, 300)
    who = pa.array([None if place < 200 else str(name) for place, name in enumerate(rows["id"])])
    return rows.set_column(0, "who", who)


def numbered_by_doubles() -> pa.Table:
    rows = panel(2, 300).drop_columns("id")
    return rows.append_column("sensor", pa.array(np.repeat([1.0, 2.0], 300)))


def doubled() -> pa.Table:
    rows = panel(3, 400)
    return pa.concat_tables([rows.slice(0, 50), rows.slice(49, 1), rows.slice(50)])


@dataclass(frozen=True)
class Refused:
    rows: Callable[[], pa.Table]
    says: tuple[str, ...]
    wishes: tuple[tuple[str, object], ...] = ()


REFUSED = {
    "no-time-column": Refused(without_time, ("no usable time column", "'day'", "--time COLUMN")),
    "two-time-columns": Refused(two_times, ("'made', 'sent'", "--time COLUMN")),
    "unknown-time": Refused(hourly, ("--time wen", "did you mean 'when'"), (("time", "wen"),)),
    "text-as-time": Refused(without_time, ("'day'", "string", "timestamps"), (("time", "day"),)),
    "unknown-entity": Refused(lambda: panel(2, 200), ("--entity di", "'id'"), (("entity", "di"),)),
    "no-one-column-is-the-entity": Refused(
        by_two_columns, ("'id' leaves 600 times", "'side' leaves", "--entity COLUMN", "joins them")
    ),
    "nulls-in-the-entity": Refused(
        entity_with_nulls, ("'who' has 200 nulls", "whole numbers, and 'load' is double", "--entity COLUMN")
    ),
    "entity-of-another-type": Refused(
        numbered_by_doubles,
        ("2 rows have the same time", "no column tells them apart", "'sensor' is double, 'load' is"),
    ),
    "doubled-row": Refused(doubled, ("2 rows", "s000000", "2024-01-03", "keep one row")),
    "no-rows": Refused(lambda: hourly().slice(0, 0), ("no rows", "ingest some")),
    "unknown-target": Refused(hourly, ("--target laod", "did you mean 'load'"), (("target", "laod"),)),
    "text-as-target": Refused(
        lambda: hourly(note=["x"] * 2000), ("--target note", "string", "'load'"), (("target", "note"),)
    ),
    "no-numbers": Refused(
        lambda: pa.table({"when": moments(99), "note": ["x"] * 99}), ("no column holds numbers", "'note'")
    ),
    "text-as-past": Refused(
        lambda: hourly(note=["x"] * 2000), ("--past note", "string"), (("past", ("note",)),)
    ),
    "constant-target": Refused(
        lambda: pa.table({"when": moments(99), "load": np.full(99, 7.5)}), ("'load' is 7.5", "--target")
    ),
    "null-target": Refused(
        lambda: pa.table({"when": moments(99), "load": pa.nulls(99, pa.float64())}),
        ("'load' is null in all",),
    ),
    "infinite-target": Refused(
        lambda: spoilt(5, np.inf), ("'load' holds infinities (1 in", "make them null")
    ),
    "too-short": Refused(lambda: hourly(12), ("12 rows", "fewer than 16", "ingest more")),
    "horizon-too-long": Refused(
        lambda: hourly(50), ("30 of 50", "--horizon of at most 12"), (("horizon", 30),)
    ),
    "horizon-below-one": Refused(hourly, ("--horizon", "at least 1"), (("horizon", 0),)),
    "no-minutes": Refused(hourly, ("--minutes", "above 0"), (("minutes", 0.0),)),
    "unknown-zone": Refused(
        hourly, ("--timezone Mars/Base", "America/New_York"), (("timezone", "Mars/Base"),)
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_cannot_serve_is_refused_with_its_remedy(name):
    case = REFUSED[name]
    with pytest.raises(UserError) as refusal:
        derived(case.rows(), **dict(case.wishes))
    message = str(refusal.value)
    assert [words for words in case.says if words not in message] == [], message


def irregular() -> pa.Table:
    seconds = np.cumsum(np.random.default_rng(1).exponential(600, 3000))
    return pa.table(
        {"when": pa.array((seconds * 1e6).astype(np.int64)).cast(pa.timestamp("us")), "load": wave(3000, 50)}
    )


def naive_times() -> pa.Table:
    rows = hourly(400)
    return rows.set_column(0, "when", rows["when"].cast(pa.timestamp("us")))


def with_useless_columns() -> pa.Table:
    load = wave(2000, 24)
    return pa.table(
        {
            "when": moments(2000),
            "flat": np.ones(2000),
            "void": pa.nulls(2000, pa.float32()),
            "endless": np.where(np.arange(2000) == 5, np.inf, np.arange(2000) % 7),
            "row": np.arange(2000),
            "twin": load,
            "rare": pa.array(wave(2000, 9), mask=np.arange(2000) % 4 > 0),
            "load": load,
        }
    )


def one_series_is_short() -> pa.Table:
    return pa.concat_tables([panel(2, 400), panel(3, 30).filter(pa.array(np.repeat([0, 0, 1], 30) == 1))])


def very_many_series() -> pa.Table:
    """100,000 series of 30 days."""
    series = np.arange(100_000)
    days = moments(30, 24 * HOUR)
    return pa.table(
        {
            "id": np.repeat(series, 30),
            "when": pa.concat_arrays([days] * len(series)),
            "load": np.tile(wave(30, 7), len(series)) + np.repeat(series % 9, 30),
        }
    )


TOLD = {
    "one-hundred-thousand-short-series": (very_many_series, ("sampled every 1 day",)),
    "irregular": (irregular, ("IRREGULARLY", "of 2,999 steps", "Resample")),
    "no-time-zone": (naive_times, ("no time zone", "taken as UTC")),
    "useless-columns": (
        with_useless_columns,
        (
            "'flat' (always 1)",
            "'void' (null",
            "'endless' (holds infinities",
            "'row' (only counts rows)",
            "'twin' (the same as 'load')",
            "'rare' is null in 75%",
        ),
    ),
    "few-windows": (lambda: hourly(50), ("only 13 training windows",)),
    "short-series": (one_series_is_short, ("1 of 3 series",)),
}


@pytest.mark.parametrize("name", TOLD)
def test_an_odd_table_is_told_of(name):
    rows, says = TOLD[name]
    choice, reasons = derived(rows())
    assert choice.plan.windows("train") > 0
    remarks = "\n".join(reasons.remarks)
    assert [words for words in says if words not in remarks] == [], remarks


def test_rows_of_an_irregular_table_are_steps_and_long_pauses_cut_it():
    choice, _ = derived(irregular())
    assert timedelta(minutes=60) < choice.max_gap < timedelta(minutes=90)
    assert choice.window.horizon == 12


@pytest.mark.parametrize("sorted_rows", [hourly(), panel(3, 400)], ids=["one series", "several"])
def test_rows_in_any_order_are_taken_as_if_they_were_sorted(sorted_rows):
    count = sorted_rows.num_rows
    expected, _ = derived(sorted_rows)
    choice, _ = derived(sorted_rows.take(np.random.default_rng(0).permutation(count)))
    assert choice.plan.keys.sorts
    assert not expected.plan.keys.sorts
    assert choice.plan.series == expected.plan.series
    assert (choice.window, choice.forecast) == (expected.window, expected.forecast)
    assert choice.plan.windows("train") == expected.plan.windows("train")


def test_useless_columns_are_left_out_and_the_rest_is_kept():
    assert derived(with_useless_columns())[0].forecast.past == ("rare",)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "../../x", "a\nb", "'; --"])
def test_any_name_of_an_entity_will_do(name):
    rows = panel(2, 300)
    rows = rows.set_column(0, "id", pa.array([name] * 300 + ["~"] * 300))
    choice, _ = derived(rows)
    assert choice.plan.series == tuple(sorted((name, "~")))


def test_gaps_in_whole_numbers_are_told_of():
    rows = pa.table({"step": np.delete(np.arange(400), [77]), "load": wave(399, 24)})
    choice, reasons = derived(rows)
    assert choice.max_gap is None
    assert any("gaps" in remark for remark in reasons.remarks)


def test_few_short_gaps_stay_inside_windows_and_long_ones_cut():
    kept = np.ones(4000, bool)
    kept[np.arange(40, 4000, 97)] = False
    kept[2000:2100] = False
    choice, reasons = derived(hourly(4000).filter(pa.array(kept)))
    assert choice.max_gap == 2 * HOUR
    assert "2 sampling intervals" in reasons.by_key["table.max_gap"]
    assert len(choice.plan.segments.series) == 2
