"""Four forecasts that a model must beat: fitted on training windows, asked about the same test windows."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lstm.tasks.forecast import ForecastTask
from lstm.tasks.ridge import Ridge
from lstm.tasks.training_rows import TrainingRows
from lstm.windows.batch import Batch
from lstm.windows.features.calendar import HOURS_A_WEEK, Calendar

LAST_SEASON = "same_time_last_season"
"""Key of the baseline that a forecast has to beat to be worth anything."""


class Baseline(Protocol):
    """A point forecast."""

    def predict(self, batch: Batch) -> NDArray[np.float64]:
        """[B, H] forecasts in natural units, from the context and the calendar alone."""
        ...


def baseline_names(task: ForecastTask) -> dict[str, str]:
    """What the baselines are called before people, by key; the clock names the season."""
    return {
        LAST_SEASON: task.clock.seasonal(task.config.season),
        "ridge": "ridge",
        "zero": "zero",
        "median_by_hour_of_week": "median" if task.clock.ordinal else "median by hour of week",
    }


def fit_baselines(
    task: ForecastTask, train: Iterable[Batch], rows: TrainingRows | None = None
) -> dict[str, Baseline]:
    """Fit all four in one pass over the training windows, in the order they come in.

    Args:
        task: what is forecast.
        train: every training window.
        rows: takes in the windows' rows, for a caller who needs them too.

    Raises:
        WrongForecast: no target of the training windows is known.
    """
    rows, ridge = TrainingRows() if rows is None else rows, Ridge(task)
    for batch in train:
        rows.add(batch)
        ridge.add(batch)
    ridge.solve()
    context, horizon = task.window.context, task.window.horizon
    return {
        LAST_SEASON: SameTimeLastSeason(rows.mean(), context, horizon, task.config.season),
        "ridge": ridge,
        "zero": Zero(horizon),
        "median_by_hour_of_week": MedianByHourOfWeek(rows, len(task.series), task.calendar, context),
    }


class Zero:
    """The target is always zero."""

    def __init__(self, horizon: int) -> None:
        self._horizon = horizon

    def predict(self, batch: Batch) -> NDArray[np.float64]:
        """[B, H] zeros."""
        return np.zeros((len(batch), self._horizon))


class SameTimeLastSeason:
    """What the target was exactly one season before; the training mean where that is not known.

    A season is a number of rows, so any sampling interval and ordinals will do; a window is a piece of one
    segment, so its rows follow each other without a gap if `table.max_gap` cuts at gaps. Steps of the
    horizon that lie more than a season ahead repeat the newest whole season that the context holds.
    """

    def __init__(self, mean: float, context: int, horizon: int, season: int) -> None:
        self._mean = mean
        steps = np.arange(horizon)
        self._rows = context + steps - (steps // season + 1) * season
        """[H] row of the window that each step repeats; negative: before the window."""

    def predict(self, batch: Batch) -> NDArray[np.float64]:
        """[B, H]; steps whose season before lies before the context have the training mean."""
        before = batch.values[:, self._rows.clip(min=0), 0]
        known = ~np.isnan(before) & (self._rows >= 0)
        return np.where(known, before.astype(np.float64), self._mean)


class MedianByHourOfWeek:
    """The training median of the series in that hour of the local week.

    Hours of the week that training does not know have the series' median, and series that it does not know
    the median of all. Ordinals have no hours: there it is the series' median.
    """

    def __init__(self, rows: TrainingRows, series: int, calendar: Calendar, context: int) -> None:
        self._calendar, self._context = calendar, context
        parts = [rows.of(number) for number in range(series)]
        target = np.concatenate([known for known, _ in parts])
        numbers = np.repeat(np.arange(series), [len(known) for known, _ in parts])
        hours = calendar.hour_of_week(np.concatenate([times for _, times in parts]))
        overall = float(np.median(target)) if len(target) else 0.0
        self._median_S = np.full(series, overall)
        known, medians = _medians(target, numbers)
        self._median_S[known] = medians
        # Only the hours that a series has: a dense table of 168 hours is far larger where series are short.
        self._cells, self._median_C = _medians(target, numbers * HOURS_A_WEEK + hours)

    def predict(self, batch: Batch) -> NDArray[np.float64]:
        """[B, H] medians."""
        hours = self._calendar.hour_of_week(batch.times[:, self._context :])
        series = np.broadcast_to(batch.series[:, None], hours.shape)
        if not len(self._cells):
            return self._median_S[series]
        wanted = series * HOURS_A_WEEK + hours
        place = np.searchsorted(self._cells, wanted).clip(max=len(self._cells) - 1)
        return np.where(self._cells[place] == wanted, self._median_C[place], self._median_S[series])


def _medians(
    values: NDArray[np.float32], keys: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The keys, each once and rising, and the median of the values of each."""
    ordered = values[np.lexsort((values, keys))]
    unique, count = np.unique(keys, return_counts=True)
    first = np.cumsum(count) - count
    low, high = ordered[first + (count - 1) // 2], ordered[first + count // 2]
    return unique, np.mean([low, high], axis=0).astype(np.float64)
