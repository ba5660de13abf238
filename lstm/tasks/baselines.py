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

_WEEK_US = 7 * 24 * 3_600_000_000


class Baseline(Protocol):
    """A point forecast."""

    def predict(self, batch: Batch) -> NDArray[np.float64]:
        """[B, H] forecasts in natural units, from the context and the calendar alone."""
        ...


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
        "same_hour_last_week": SameHourLastWeek(rows.mean(), task.window.context),
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


class SameHourLastWeek:
    """What the target was exactly seven days before; the training mean where that is not known."""

    def __init__(self, mean: float, context: int) -> None:
        self._mean, self._context = mean, context

    def predict(self, batch: Batch) -> NDArray[np.float64]:
        """[B, H]; a context that does not reach back a week gives the training mean."""
        context = self._context
        ahead = batch.times[:, context:]
        forecast = np.full(ahead.shape, self._mean)
        for window in range(len(batch)):
            before = batch.times[window, :context]
            week_ago = ahead[window] - _WEEK_US
            row = np.searchsorted(before, week_ago).clip(max=context - 1)
            value = batch.values[window, row, 0]
            found = (before[row] == week_ago) & ~np.isnan(value)
            forecast[window, found] = value[found]
        return forecast


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
