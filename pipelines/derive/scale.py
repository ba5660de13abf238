"""The unit in which the model sees the target: by what its values look like."""

import numpy as np

from lstm.tasks.target_scale import Scale
from pipelines.derive.reasons import Reasons
from pipelines.derive.sample import Sample

_APART = 10.0
"""Levels of series, as a ratio of a high one to a low one, beyond which they differ much."""
_ZEROS = 0.2
"""Share of zeros that makes zero special."""
_SERIES = 5
"""Series below which nothing is said about how series differ."""


def choose_scale(target: str, training_rows: Sample, reasons: Reasons) -> Scale:
    """`asinh` for a mass at zero, `window` for series of very different levels, else `linear`."""
    values = training_rows.of(target)
    known = ~np.isnan(values)
    values, run = np.abs(values[known].astype(np.float64)), training_rows.run[known]
    scale: Scale = "linear"
    reason = "the target is seen around its mean, in units of its deviation"
    if len(values) and (zeros := float((values == 0).mean())) >= _ZEROS:
        scale, reason = (
            "asinh",
            f"{zeros:.0%} of the target are exactly 0: linear near it, logarithmic far off",
        )
    elif len(values):
        _, place, rows = np.unique(run, return_inverse=True, return_counts=True)
        levels = np.bincount(place, values) / rows
        low, high = np.quantile(levels, (0.1, 0.9))
        if len(levels) >= _SERIES and high > _APART * low:
            scale = "window"
            reason = (
                f"series stand at levels from about {low:.3g} to {high:.3g}: each window is seen around its "
                "own, so that none outweighs the others"
            )
    reasons.add("forecast.scale", reason)
    return scale
