"""Errors without a unit, so that series of any level weigh the same: MASE and sMAPE as M4 defines them.

MASE is a series' mean absolute error ÷ that of repeating the season before within its training rows; below 1
is better than that. sMAPE is the mean of 200·|y - f| ÷ (|y| + |f|), in percent. Both are means over series.
Source: Makridakis, Spiliotis, Assimakopoulos, "The M4 Competition" (2020), section 2.
"""

from typing import Any

import numpy as np

from lstm.tasks.metrics import Array, Errors
from lstm.tasks.training_rows import TrainingRows


def seasonal_scale(rows: TrainingRows, series: int, season: int) -> Array:
    """[S] mean absolute difference of training rows one season apart; NaN where it is unknown or zero."""
    scale = np.full(series, np.nan)
    for number in range(series):
        target = rows.all_of(number)
        change = np.abs(target[season:].astype(np.float64) - target[:-season])
        known = ~np.isnan(change)
        if known.any() and (mean := change[known].mean()) > 0:
            scale[number] = mean
    return scale


def scaled_figures(errors: Errors, scale_S: Array) -> dict[str, Any]:
    """JSON-able: `mase`, `smape`, and of how many series each is the mean; None where of none."""
    mase = errors.mae_by_series() / scale_S
    asked = errors.count_S > 0
    smape = 100 * errors.relative_S[asked] / errors.count_S[asked]
    return {
        "mase": _mean(mase[~np.isnan(mase)]),
        "mase_series": int((~np.isnan(mase)).sum()),
        "smape": _mean(smape),
        "smape_series": int(asked.sum()),
    }


def _mean(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None
