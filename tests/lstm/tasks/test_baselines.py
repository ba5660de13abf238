"""The four baselines, by hand."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lstm.tasks.baselines import MedianByHourOfWeek, SameTimeLastSeason, Zero, fit_baselines
from lstm.tasks.forecast_config import WrongForecast
from lstm.tasks.ridge import Ridge
from lstm.tasks.training_rows import TrainingRows
from lstm.windows.batch import Batch
from lstm.windows.features.calendar import Calendar, NoCalendar
from pipelines.demo.flights import hourly_departures

CONTEXT, HORIZON, LENGTH = 48, 6, 54
HOUR_US = 3_600_000_000


def windows_of(batch, target: np.ndarray, starts: list[int], series: int = 0) -> Batch:
    """Windows of one series whose target at row r is target[r]; the input beside it is never known."""
    values = np.full((len(starts), LENGTH, 2), np.nan, np.float32)
    for number, start in enumerate(starts):
        values[number, :, 0] = target[start : start + LENGTH]
    return batch(starts, series=[series] * len(starts), values=values)


def test_training_rows_hold_every_row_once_whatever_the_overlap(batch):
    target = np.arange(100, dtype=np.float32)
    target[[3, 60]] = np.nan
    rows = TrainingRows()
    for starts in ([40, 0], [1, 2, 30]):
        rows.add(windows_of(batch, target, starts))
    known, times = rows.of(0)
    covered = [r for r in range(94) if r not in (3, 60)]
    assert known.tolist() == covered
    assert (times // HOUR_US).tolist() == covered
    assert rows.mean() == pytest.approx(np.mean(covered))
    assert len(rows.of(1)[0]) == 0


def test_zero_is_zero(batch):
    assert not Zero(HORIZON).predict(batch([0, 1])).any()


def counting(batch, starts: list[int]) -> Batch:
    """Windows whose target is the number of the row in its series."""
    return windows_of(batch, np.arange(1000, dtype=np.float32), starts)


@pytest.mark.parametrize("interval", [HOUR_US, 10 * 60_000_000, 24 * HOUR_US, 1])  # 1: ordinals
def test_last_season_is_found_by_row_whatever_the_interval(interval, batch):
    windows = counting(batch, [0, 100])
    windows = replace(windows, times=windows.times // HOUR_US * interval)
    windows.values[0, CONTEXT + 2 - 42, 0] = np.nan  # what step 2 of the first window repeats
    forecast = SameTimeLastSeason(-1.0, CONTEXT, HORIZON, season=42).predict(windows)
    assert forecast.tolist() == [[6, 7, -1, 9, 10, 11], [106, 107, 108, 109, 110, 111]]


def test_steps_beyond_a_season_repeat_the_newest_whole_one(batch):
    forecast = SameTimeLastSeason(-1.0, CONTEXT, HORIZON, season=4).predict(counting(batch, [0]))
    assert forecast.tolist() == [[44, 45, 46, 47, 44, 45]]


def test_steps_whose_season_before_lies_before_the_context_have_the_training_mean(batch):
    forecast = SameTimeLastSeason(12.5, CONTEXT, HORIZON, season=50).predict(counting(batch, [0, 9]))
    assert forecast.tolist() == [[12.5, 12.5, 0, 1, 2, 3], [12.5, 12.5, 9, 10, 11, 12]]
    never = SameTimeLastSeason(12.5, CONTEXT, HORIZON, season=168)
    assert (never.predict(counting(batch, [0, 9])) == 12.5).all()


def same_hour_last_week(batch: Batch, mean: float, context: int) -> np.ndarray:
    """How the demo's baseline was first written: by the clock, exactly seven days before."""
    ahead = batch.times[:, context:]
    forecast = np.full(ahead.shape, mean)
    for window in range(len(batch)):
        before = batch.times[window, :context]
        week_ago = ahead[window] - 168 * HOUR_US
        row = np.searchsorted(before, week_ago).clip(max=context - 1)
        value = batch.values[window, row, 0]
        found = (before[row] == week_ago) & ~np.isnan(value)
        forecast[window, found] = value[found]
    return forecast


@pytest.fixture(scope="module")
def flights() -> Batch:
    """2,000 windows of a week and a day of the demo's table, over all series."""
    table = hourly_departures()
    target = table["delay"].to_numpy().astype(np.float32).reshape(20, 8760)
    times = table["time"].cast(pa.int64()).to_numpy().reshape(20, 8760)
    random = np.random.default_rng(0)
    series, starts = random.integers(0, 20, 2000), random.integers(0, 8760 - 192, 2000)
    rows = starts[:, None] + np.arange(192)
    return Batch(
        epoch=0,
        index=0,
        size=2000,
        positions=np.arange(2000),
        values=target[series[:, None], rows][..., None],
        times=times[series[:, None], rows],
        series=series,
        starts=starts,
    )


def test_a_season_of_168_hours_is_the_same_hour_last_week(flights):
    """On windows of the demo's own data: same bits as by the clock."""
    by_row = SameTimeLastSeason(1.25, 168, 24, season=168).predict(flights)
    by_clock = same_hour_last_week(flights, 1.25, 168)
    assert np.array_equal(by_row, by_clock)
    assert 0.2 < (by_row != 1.25).mean() < 0.9


def test_the_median_is_of_the_series_and_the_local_hour_of_the_week(batch):
    """Three weeks of hours; a row of series 0 holds its week's number: 1, 10 or 2, so the median is 2."""
    weeks = np.repeat([1.0, 10.0, 2.0], 168).astype(np.float32)
    rows = TrainingRows()
    rows.add(windows_of(batch, weeks, [*range(0, 504 - LENGTH, 30), 504 - LENGTH]))
    rows.add(windows_of(batch, np.full(504, 7.0, np.float32), [0], series=1))
    baseline = MedianByHourOfWeek(rows, 3, Calendar("America/New_York"), CONTEXT)
    asked = batch([1000, 1000, 1000], series=[0, 1, 2])
    forecast = baseline.predict(asked)
    assert (forecast[0] == 2.0).all()
    assert (forecast[1] == 7.0).all()  # hours that training does not know: the series' median
    assert (forecast[2] == 2.0).all()  # a series that training does not know: the median of all


def test_many_short_series_take_little_time_and_memory(batch):
    """The same medians as numpy's, series by series, where each has a fraction of the week's hours."""
    rows, count = TrainingRows(), 20_000
    random = np.random.default_rng(5)
    values = np.full((count, LENGTH, 2), np.nan, np.float32)
    values[:, :30, 0] = random.normal(size=(count, 30))
    windows = batch([0] * count, series=list(range(count)), values=values)
    rows.add(windows)
    tracemalloc.start()
    baseline = MedianByHourOfWeek(rows, count, Calendar("UTC"), CONTEXT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20
    asked = replace(windows, times=windows.times - CONTEXT * HOUR_US)  # so that the horizon has hours 0 to 5
    np.testing.assert_array_equal(baseline.predict(asked), values[:, :HORIZON, 0])
    np.testing.assert_array_equal(  # 48 to 53: hours that no series has
        baseline.predict(windows),
        np.repeat(np.nanmedian(values[:, :, 0], axis=1), HORIZON).reshape(-1, HORIZON),
    )


def test_ordinals_have_the_median_of_the_series(batch):
    rows = TrainingRows()
    rows.add(windows_of(batch, np.arange(LENGTH, dtype=np.float32), [0]))
    baseline = MedianByHourOfWeek(rows, 2, NoCalendar(), CONTEXT)
    assert (baseline.predict(batch([5, 5], series=[0, 1])) == 26.5).all()


def test_ridge_finds_a_linear_rule(batch, task):
    """The target repeats every 24 rows with a drift of 3: linear in the value one lag before."""
    rng = np.random.default_rng(0)
    day = rng.normal(10, 40, 24)
    target = np.concatenate([day + 3 * n for n in range(60)]).astype(np.float32)
    ridge = Ridge(task)
    for first in range(0, 1000, 100):
        ridge.add(windows_of(batch, target, list(range(first, first + 100))))
    ridge.solve()
    asked = windows_of(batch, target, [1203, 1300])
    np.testing.assert_allclose(ridge.predict(asked), asked.values[:, CONTEXT:, 0], atol=4.0)  # of hundreds


@pytest.mark.parametrize("first", [0, 3])  # the first window's row of its segment
@pytest.mark.parametrize("stride", [1, 5, 24])
def test_ridge_takes_in_every_window_whatever_the_stride(first, stride, batch, task):
    target = (100 + 50 * np.sin(np.arange(3000) * 2 * np.pi / 24)).astype(np.float32)
    ridge = Ridge(task)
    ridge.add(windows_of(batch, target, list(range(first, 2400, stride))))
    ridge.solve()
    asked = windows_of(batch, target, list(range(first + 2400, 2900, stride)))
    np.testing.assert_allclose(ridge.predict(asked), asked.values[:, CONTEXT:, 0], atol=15)


@pytest.mark.parametrize("starts", [[], [7, 9]])
def test_ridge_without_a_known_target_is_refused_not_zero(starts, batch, task):
    ridge = Ridge(task)
    ridge.add(windows_of(batch, np.full(100, np.nan, np.float32), starts))
    with pytest.raises(
        WrongForecast, match=f"none of the {len(starts)} training windows has a known 'delay'"
    ):
        ridge.solve()


def test_ridge_is_least_squares_with_a_penalty(batch, task):
    """Against numpy's solver on the stacked system, for one step."""
    rng = np.random.default_rng(1)
    target = rng.normal(10, 40, 600).astype(np.float32)
    target[rng.random(600) < 0.3] = np.nan
    ridge, starts = Ridge(task), list(range(3, 500, 4))
    windows = windows_of(batch, target, starts)
    ridge.add(windows)
    ridge.solve()
    inputs = ridge._inputs(windows.values, windows.times)[2]
    labels = windows.values[:, CONTEXT + 2, 0].astype(np.float64)
    known = ~np.isnan(labels)
    penalty = np.sqrt(10.0) * np.eye(inputs.shape[1])
    penalty[0, 0] = 0
    stacked = np.concatenate([inputs[known], penalty])
    weights = np.linalg.lstsq(stacked, np.concatenate([labels[known], np.zeros(len(penalty))]), rcond=None)[0]
    np.testing.assert_allclose(ridge.predict(windows)[:, 2], inputs @ weights, rtol=1e-6, atol=1e-6)


def test_ridge_does_not_depend_on_how_windows_are_batched(batch, task):
    rng = np.random.default_rng(2)
    target = rng.normal(10, 40, 400).astype(np.float32)
    whole, parts = Ridge(task), Ridge(task)
    whole.add(windows_of(batch, target, list(range(200))))
    for first in (0, 1, 101):
        parts.add(windows_of(batch, target, list(range(first, {0: 1, 1: 101, 101: 200}[first]))))
    whole.solve()
    parts.solve()
    asked = windows_of(batch, target, [300])
    np.testing.assert_allclose(parts.predict(asked), whole.predict(asked), rtol=1e-9)


def test_no_baseline_looks_into_the_horizon(batch, task):
    rng = np.random.default_rng(3)
    target = rng.normal(10, 40, 900).astype(np.float32)
    baselines = fit_baselines(task, [windows_of(batch, target, list(range(100)))])
    assert sorted(baselines) == ["median_by_hour_of_week", "ridge", "same_time_last_season", "zero"]
    asked = windows_of(batch, target, [500, 600])
    values = asked.values.copy()
    values[:, CONTEXT:] = 1e6
    for baseline in baselines.values():
        forecast = baseline.predict(asked)
        assert forecast.shape == (2, HORIZON)
        assert np.array_equal(baseline.predict(replace(asked, values=values)), forecast)
