"""A ridge linear model per step of the horizon: what least squares makes of the same inputs.

It sees the newest `RECENT` rows of the target and its values whole days before each step, the newest row of
the other columns, and the calendar of that step: standardised, 0 where unknown, with a mask beside each.
Fitted by normal equations in float64, batch by batch, so that memory does not grow with the table.
"""

import numpy as np
from numpy.typing import NDArray

from lstm.models.forecaster import lagged_rows
from lstm.tasks.forecast import ForecastTask
from lstm.tasks.forecast_config import WrongForecast
from lstm.windows.batch import Batch

RECENT = 24
"""Newest rows of the target that it sees."""
PENALTY = 10.0
"""Ridge: rows that the belief in a zero weight is worth."""

Array = NDArray[np.float64]


class Ridge:
    """Least squares with a penalty on all weights but the constant's. D inputs, H steps."""

    def __init__(self, task: ForecastTask) -> None:
        window = task.window
        self._calendar, self._context, self._horizon = task.calendar, window.context, window.horizon
        self._mean_F, self._std_F = task.means_and_deviations()
        self._lags = lagged_rows(window.context, window.horizon, task.config.lag).numpy()
        self._target = task.config.target
        self._windows = self._known = 0
        features = 1 + 2 * min(RECENT, window.context) + 2 * (len(task.columns) - 1)
        features += 2 * self._lags.shape[1] + task.calendar.features
        self._gram_HDD: Array = np.zeros((window.horizon, features, features))
        self._moment_HD: Array = np.zeros((window.horizon, features))
        self._weights_HD: Array = np.zeros((window.horizon, features))

    def add(self, batch: Batch) -> None:
        """Take in training windows: each counts, also where neighbours share all rows but one."""
        inputs = self._inputs(batch.values, batch.times)
        target = batch.values[:, self._context :, 0].astype(np.float64).T
        known = ~np.isnan(target)
        self._windows += len(batch)
        self._known += int(known.sum())
        inputs *= known[..., None]
        transposed = inputs.transpose(0, 2, 1)
        self._gram_HDD += transposed @ inputs
        self._moment_HD += (transposed @ np.where(known, target, 0.0)[..., None])[..., 0]

    def solve(self) -> None:
        """Fit, after the last `add` and before `predict`.

        Raises:
            WrongForecast: no target of the training windows is known; forecasts of 0 would pass for a fit.
        """
        if not self._known:
            raise WrongForecast(
                f"none of the {self._windows} training windows has a known {self._target!r} in its horizon; "
                "give the training split a larger share"
            )
        penalty = np.eye(self._gram_HDD.shape[1]) * PENALTY
        penalty[0, 0] = 1e-9  # the constant is free; not quite, so that a step without targets solves to 0
        weights = np.linalg.solve(self._gram_HDD + penalty, self._moment_HD[..., None])
        self._weights_HD = weights[..., 0].astype(np.float64)

    def predict(self, batch: Batch) -> Array:
        """[B, H] forecasts in natural units."""
        inputs = self._inputs(batch.values, batch.times)
        return (inputs @ self._weights_HD[..., None])[..., 0].T

    def _inputs(self, values: NDArray[np.float32], times: NDArray[np.int64]) -> Array:
        """[H, B, D]."""
        past = values[:, : self._context, : len(self._mean_F)]
        known = ~np.isnan(past)
        scaled = np.where(known, (past - self._mean_F) / self._std_F, 0.0)
        windows, horizon = len(past), self._horizon
        same = np.concatenate(
            [
                np.ones((windows, 1)),
                scaled[:, -RECENT:, 0],
                known[:, -RECENT:, 0],
                scaled[:, -1, 1:],
                known[:, -1, 1:],
            ],
            axis=1,
        )
        own = [
            scaled[:, self._lags, 0],
            known[:, self._lags, 0],
            self._calendar.encode(times[:, self._context :]),
        ]
        shared = np.broadcast_to(same[:, None], (windows, horizon, same.shape[1]))
        return np.ascontiguousarray(np.concatenate([shared, *own], axis=2).transpose(1, 0, 2))
