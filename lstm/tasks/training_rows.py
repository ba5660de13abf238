"""The target's training rows, each once, put together from windows that overlap.

Costs 12 bytes per training row of the table: meant for the baselines of an evaluation.
"""

import numpy as np
from numpy.typing import NDArray

from lstm.windows.batch import Batch


class TrainingRows:
    """What every training window holds of the target, by series and row."""

    def __init__(self) -> None:
        self._target: dict[int, NDArray[np.float32]] = {}
        self._times: dict[int, NDArray[np.int64]] = {}

    def add(self, batch: Batch) -> None:
        """Take in windows, whose first feature is the target; rows that came before change nothing."""
        length = batch.times.shape[1]
        for window, (series, start) in enumerate(
            zip(batch.series.tolist(), batch.starts.tolist(), strict=True)
        ):
            self._reserve(series, start + length)
            self._target[series][start : start + length] = batch.values[window, :, 0]
            self._times[series][start : start + length] = batch.times[window]

    def of(self, series: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Known targets of one series and their times, oldest first."""
        target = self._target.get(series, np.empty(0, np.float32))
        known = ~np.isnan(target)
        return target[known], self._times.get(series, np.empty(0, np.int64))[known]

    def all_of(self, series: int) -> NDArray[np.float32]:
        """The target of one series by row, from its first row on; NaN where unknown, or in no window."""
        return self._target.get(series, np.empty(0, np.float32))

    def mean(self) -> float:
        """Mean of all known targets; 0 where there is none."""
        known = [self.of(series)[0] for series in sorted(self._target)]
        total = sum(float(target.sum(dtype=np.float64)) for target in known)
        return total / max(1, sum(map(len, known)))

    def _reserve(self, series: int, rows: int) -> None:
        have = len(self._target.get(series, ()))
        if rows > have:
            more = max(rows, 2 * have) - have  # doubling: every row is copied about once
            target = self._target.get(series, np.empty(0, np.float32))
            times = self._times.get(series, np.empty(0, np.int64))
            self._target[series] = np.concatenate([target, np.full(more, np.nan, np.float32)])
            self._times[series] = np.concatenate([times, np.zeros(more, np.int64)])
