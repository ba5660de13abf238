"""How good forecasts are: sums that batches, ranks and machines can add up, and the figures they give.

Only known targets count. Sums are float64 and kept by series and by hour ahead, so every figure can be told
for one series, for one step of the horizon, or over all.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Errors:
    """Sums of absolute errors of a point forecast. S series, H steps of the horizon."""

    def __init__(self, series: int, horizon: int) -> None:
        self.count_SH: Array = np.zeros((series, horizon))
        self.absolute_SH: Array = np.zeros((series, horizon))

    def add(self, forecast_BH: NDArray[Any], target_BH: NDArray[Any], series_B: NDArray[np.int64]) -> None:
        """Take in a batch; targets that are NaN count for nothing. Both in natural units."""
        known = ~np.isnan(target_BH)
        error = np.abs(np.where(known, target_BH - forecast_BH.astype(np.float64), 0.0))
        np.add.at(self.count_SH, series_B, known)
        np.add.at(self.absolute_SH, series_B, error)

    def merge(self, other: Self) -> None:
        """Add the sums of another part of the same windows."""
        for mine, theirs in zip(self._sums(), other._sums(), strict=True):
            mine += theirs

    def figures(self, rows: Any = slice(None)) -> dict[str, float | None]:
        """The figures over `rows` of the sums (a series' number, or all); None where nothing is known."""
        return {"mae": _ratio(self.absolute_SH[rows].sum(), self.count_SH[rows].sum())}

    def report(self, series: Sequence[str]) -> dict[str, Any]:
        """JSON-able: the figures over all, by series, and the mean absolute error by step of the horizon."""
        by_step = zip(self.absolute_SH.sum(0), self.count_SH.sum(0), strict=True)
        return {
            "all": self.figures(),
            "known": int(self.count_SH.sum()),
            "series": {name: self.figures(number) for number, name in enumerate(series)},
            "mae_by_step": [_ratio(error, count) for error, count in by_step],
        }

    def _sums(self) -> tuple[Array, ...]:
        return self.count_SH, self.absolute_SH


class QuantileErrors(Errors):
    """The same for a forecast of Q quantiles: errors of its median, pinball loss, coverage of its interval.

    `pinball` is the mean over the Q levels; `coverage` is the share of targets from the lowest to the
    highest quantile, both included, to be held against `nominal`.
    """

    def __init__(self, series: int, horizon: int, levels: Sequence[float]) -> None:
        super().__init__(series, horizon)
        self.levels = np.asarray(levels, np.float64)
        self.median = tuple(levels).index(0.5)
        self.nominal = float(self.levels[-1] - self.levels[0])
        self.pinball_SHQ: Array = np.zeros((series, horizon, len(levels)))
        self.covered_SH: Array = np.zeros((series, horizon))
        self.below_HQ: Array = np.zeros((horizon, len(levels)))

    def add(self, forecast_BHQ: NDArray[Any], target_BH: NDArray[Any], series_B: NDArray[np.int64]) -> None:
        """Take in a batch; targets that are NaN count for nothing. Both in natural units."""
        super().add(forecast_BHQ[..., self.median], target_BH, series_B)
        known = ~np.isnan(target_BH)
        error = np.where(known[..., None], target_BH[..., None] - forecast_BHQ.astype(np.float64), 0.0)
        np.add.at(self.pinball_SHQ, series_B, np.maximum(self.levels * error, (self.levels - 1) * error))
        inside = (target_BH >= forecast_BHQ[..., 0]) & (target_BH <= forecast_BHQ[..., -1])
        np.add.at(self.covered_SH, series_B, inside)
        self.below_HQ += (target_BH[..., None] <= forecast_BHQ).sum(0)  # NaN compares as False

    def figures(self, rows: Any = slice(None)) -> dict[str, float | None]:
        """As `Errors.figures`, with `pinball` and `coverage`."""
        count = self.count_SH[rows].sum()
        return {
            **super().figures(rows),
            "pinball": _ratio(self.pinball_SHQ[rows].sum() / len(self.levels), count),
            "coverage": _ratio(self.covered_SH[rows].sum(), count),
        }

    def report(self, series: Sequence[str]) -> dict[str, Any]:
        """As `Errors.report`, with the pinball loss of each level, and how well the levels are calibrated.

        `below_by_level` is the share of targets up to each quantile, to be held against its level;
        `coverage_by_step` is that of the interval, by step of the horizon.
        """
        losses = self.pinball_SHQ.sum((0, 1))
        by_step = zip(self.covered_SH.sum(0), self.count_SH.sum(0), strict=True)
        return {
            **super().report(series),
            "nominal_coverage": round(self.nominal, 12),
            "pinball_by_level": {
                str(level): _ratio(loss, self.count_SH.sum())
                for level, loss in zip(self.levels.tolist(), losses, strict=True)
            },
            "below_by_level": {
                str(level): _ratio(below, self.count_SH.sum())
                for level, below in zip(self.levels.tolist(), self.below_HQ.sum(0), strict=True)
            },
            "coverage_by_step": [_ratio(covered, count) for covered, count in by_step],
        }

    def _sums(self) -> tuple[Array, ...]:
        return *super()._sums(), self.pinball_SHQ, self.covered_SH, self.below_HQ


def _ratio(total: float, count: float) -> float | None:
    return float(total) / float(count) if count else None
