"""How good forecasts are: sums that batches, ranks and machines can add up, and the figures they give.

Only known targets count. Sums are float64 and kept by series, by step of the horizon and by quantile, never
by all of them at once: a hundred thousand series cost a few megabytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Errors:
    """Sums of absolute errors of a point forecast. S series, H steps of the horizon."""

    def __init__(self, series: int, horizon: int) -> None:
        self.count_S: Array = np.zeros(series)
        self.count_H: Array = np.zeros(horizon)
        self.absolute_S: Array = np.zeros(series)
        self.absolute_H: Array = np.zeros(horizon)
        self.relative_S: Array = np.zeros(series)

    def add(self, forecast_BH: NDArray[Any], target_BH: NDArray[Any], series_B: NDArray[np.int64]) -> None:
        """Take in a batch; targets that are NaN count for nothing. Both in natural units."""
        known = ~np.isnan(target_BH)
        forecast = forecast_BH.astype(np.float64)
        error = np.abs(np.where(known, target_BH - forecast, 0.0))
        size = np.where(known, np.abs(target_BH) + np.abs(forecast), 0.0)
        relative = np.divide(2 * error, size, out=np.zeros_like(error), where=size > 0)
        _tally(known, series_B, self.count_S, self.count_H)
        _tally(error, series_B, self.absolute_S, self.absolute_H)
        _tally(relative, series_B, self.relative_S)

    def merge(self, other: Self) -> None:
        """Add the sums of another part of the same windows."""
        theirs = other.sums()
        for name, mine in self.sums().items():
            mine += theirs[name]

    def sums(self) -> Mapping[str, Array]:
        """All sums by name: what another machine has to hand over."""
        return {name: value for name, value in vars(self).items() if name.partition("_")[2].isupper()}

    def mae_by_series(self) -> Array:
        """[S] mean absolute errors; NaN where nothing is known."""
        unknown = np.full_like(self.count_S, np.nan)
        return np.divide(self.absolute_S, self.count_S, out=unknown, where=self.count_S > 0)

    def figures(self, rows: Any = slice(None)) -> dict[str, float | None]:
        """The figures over `rows` of the series (a series' number, or all); None where nothing is known."""
        return {"mae": _ratio(self.absolute_S[rows].sum(), self.count_S[rows].sum())}

    def report(self, series: Mapping[int, str]) -> dict[str, Any]:
        """JSON-able: the figures over all, by step of the horizon, and of those series that are named.

        Args:
            series: names by number.
        """
        return {
            "all": self.figures(),
            "known": int(self.count_S.sum()),
            "series": {name: self.figures(number) for number, name in series.items()},
            "mae_by_step": _ratios(self.absolute_H, self.count_H),
        }


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
        self.pinball_S: Array = np.zeros(series)
        self.pinball_H: Array = np.zeros(horizon)
        self.pinball_Q: Array = np.zeros(len(levels))
        self.covered_S: Array = np.zeros(series)
        self.covered_H: Array = np.zeros(horizon)
        self.below_Q: Array = np.zeros(len(levels))

    def add(self, forecast_BHQ: NDArray[Any], target_BH: NDArray[Any], series_B: NDArray[np.int64]) -> None:
        """Take in a batch; targets that are NaN count for nothing. Both in natural units."""
        super().add(forecast_BHQ[..., self.median], target_BH, series_B)
        known = ~np.isnan(target_BH)
        error = np.where(known[..., None], target_BH[..., None] - forecast_BHQ.astype(np.float64), 0.0)
        losses = np.maximum(self.levels * error, (self.levels - 1) * error)
        _tally(losses.mean(-1), series_B, self.pinball_S, self.pinball_H)
        self.pinball_Q += losses.sum((0, 1))
        inside = (target_BH >= forecast_BHQ[..., 0]) & (target_BH <= forecast_BHQ[..., -1])
        _tally(inside, series_B, self.covered_S, self.covered_H)
        self.below_Q += (target_BH[..., None] <= forecast_BHQ).sum((0, 1))  # NaN is below nothing

    def figures(self, rows: Any = slice(None)) -> dict[str, float | None]:
        """As `Errors.figures`, with `pinball` and `coverage`."""
        count = self.count_S[rows].sum()
        return {
            **super().figures(rows),
            "pinball": _ratio(self.pinball_S[rows].sum(), count),
            "coverage": _ratio(self.covered_S[rows].sum(), count),
        }

    def report(self, series: Mapping[int, str]) -> dict[str, Any]:
        """As `Errors.report`, and how well the quantiles are calibrated.

        `pinball_by_step` and `coverage_by_step` by step of the horizon; by level `pinball_by_level`, and
        `below_by_level`: the share of targets up to that quantile, which should be the level itself.
        """
        levels, known = [str(level) for level in self.levels.tolist()], self.count_S.sum()
        return {
            **super().report(series),
            "nominal_coverage": round(self.nominal, 12),
            "pinball_by_step": _ratios(self.pinball_H, self.count_H),
            "coverage_by_step": _ratios(self.covered_H, self.count_H),
            "pinball_by_level": dict(
                zip(levels, (_ratio(loss, known) for loss in self.pinball_Q), strict=True)
            ),
            "below_by_level": dict(zip(levels, (_ratio(n, known) for n in self.below_Q), strict=True)),
        }


def _tally(
    values_BH: NDArray[Any], series_B: NDArray[np.int64], by_S: Array, by_H: Array | None = None
) -> None:
    by_S += np.bincount(series_B, values_BH.sum(1), len(by_S))
    if by_H is not None:
        by_H += values_BH.sum(0)


def _ratio(total: float, count: float) -> float | None:
    return float(total) / float(count) if count else None


def _ratios(totals: Array, counts: Array) -> list[float | None]:
    return [_ratio(total, count) for total, count in zip(totals, counts, strict=True)]
