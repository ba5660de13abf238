"""Four forecasts that a model must beat: fitted on training windows, asked about the same test windows."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lstm.tasks.calendar import HOURS_A_WEEK, Calendar
from lstm.tasks.forecast import ForecastTask
from lstm.tasks.ridge import Ridge
from lstm.tasks.training_rows import TrainingRows
from lstm.windows.batch import Batch


class Baseline(Protocol):
    """A point forecast."""

    def predict(self, batch: Batch) -> NDArray[np.float64]:
        """[B, H] forecasts in natural units, from the context and the calendar alone."""
        ...


def baseline_names(task: ForecastTask) -> dict[str, str]:
    """What the baselines are called before people, by key; the clock names the season."""
    return {
        "same_time_last_season": task.clock.seasonal(task.config.season),
        "ridge": "ridge",
        "zero": "zero",
        "median_by_hour_of_week": "median" if task.clock.ordinal else "median by hour of week",
    }


def fit_baselines(task: ForecastTask, train: Iterable[Batch]) -> dict[str, Baseline]:
    """Fit all four in one pass over the training windows, in the order they come in.

    Raises:
        WrongForecast: no target of the training windows is known.
    """
    rows, ridge = TrainingRows(), Ridge(task)
    for batch in train:
        rows.add(batch)
        ridge.add(batch)
    ridge.solve()
    horizon = task.window.horizon
    return {
        "same_time_last_season": SameTimeLastSeason(
            rows.mean(), task.window.context, horizon, task.config.season
        ),
        "ridge": ridge,
        "zero": Zero(horizon),
        "median_by_hour_of_week": MedianByHourOfWeek(
            rows, len(task.series), task.calendar, task.window.context
        ),
    }


class Zero:
    """Nothing is ever late."""

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
    the median of all.
    """

    def __init__(self, rows: TrainingRows, series: int, calendar: Calendar, context: int) -> None:
        self._calendar, self._context = calendar, context
        everything = np.concatenate([rows.of(number)[0] for number in range(series)])
        overall = float(np.median(everything)) if len(everything) else 0.0
        self._median_SW = np.full((series, HOURS_A_WEEK), overall)
        for number in range(series):
            target, times = rows.of(number)
            if len(target):
                self._median_SW[number] = _medians(target, calendar.hour_of_week(times))

    def predict(self, batch: Batch) -> NDArray[np.float64]:
        """[B, H] medians."""
        hours = self._calendar.hour_of_week(batch.times[:, self._context :])
        return self._median_SW[batch.series[:, None], hours]


def _medians(target: NDArray[np.float32], hours: NDArray[np.int64]) -> Sequence[float]:
    known = {int(hour): float(np.median(target[hours == hour])) for hour in np.unique(hours)}
    overall = float(np.median(target))
    return [known.get(hour, overall) for hour in range(HOURS_A_WEEK)]
