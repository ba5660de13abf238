"""The unit in which the target is learned: its own, each window's, or one that bends at zero."""

import numpy as np

from lstm.tasks.target_scale import Scale
from pipelines.derive.reasons import Reasons
from pipelines.derive.sample import Sample
from pipelines.derive.words import share

_ZEROS = 0.3
"""Share of zeros from which the rest counts as rare."""
_APART = 10.0
"""Times that the spread of one series is another's, for them to count as of different levels."""
_FEWEST = 8
"""Known rows of a run whose spread is looked at."""


def choose_scale(target: str, sample: Sample, reasons: Reasons) -> Scale:
    """The scale for what the target's values look like on training rows."""
    values = sample.of(target)
    known = values[~np.isnan(values)]
    zeros = int(np.sum(known == 0))
    if zeros > _ZEROS * len(known):
        reasons.add("forecast.scale", f"{share(zeros, len(known))} of the target's values are 0")
        return "asinh"
    spreads = _spreads(sample, target)
    low, high = np.quantile(spreads, [0.1, 0.9]) if len(spreads) > 1 else (1.0, 1.0)
    if high > _APART * low:
        reasons.add(
            "forecast.scale",
            f"series differ in level: the spread of a large one is {high / low:,.0f} times a small one's",
        )
        return "window"
    reasons.add("forecast.scale", "series are about alike in level, and seldom 0")
    return "linear"


def _spreads(sample: Sample, target: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Standard deviation of the target in each run that moves."""
    known = ~np.isnan(sample.of(target))
    values, run = sample.of(target)[known].astype(np.float64), sample.run[known]
    numbers, place, rows = np.unique(run, return_inverse=True, return_counts=True)
    mean = np.bincount(place, values, len(numbers)) / rows
    spread = np.sqrt(np.bincount(place, np.square(values - mean[place]), len(numbers)) / rows)
    found: np.ndarray[tuple[int], np.dtype[np.float64]] = spread[(rows >= _FEWEST) & (spread > 0)]
    return found
