"""Which series an evaluation tells one by one: all where they are few, else the ends of the ranking."""

from typing import Any

import numpy as np

from lstm.tasks.metrics import Errors

ALL = 1000
"""So many series are all told, whatever they are."""
ENDS = 100
"""Of more, so many at each end: those where the model gains the most on the baseline, and the least."""


def shown_series(model: Errors, baseline: Errors) -> tuple[list[int], dict[str, Any]]:
    """Numbers of the series to tell, ascending, and JSON-able counts of all.

    Of more than `ALL` series those are told whose MAE ÷ the baseline's is among the `ENDS` lowest or highest:
    a ratio, so that a series' level plays no part. Series without a known target come last.
    """
    own, theirs = model.mae_by_series(), baseline.mae_by_series()
    total, known = len(own), ~np.isnan(own)
    shown = np.arange(total)
    if total > ALL:
        ratio = np.divide(own, theirs, out=np.full(total, np.inf), where=theirs > 0)
        candidates = np.flatnonzero(known) if known.any() else shown
        ranked = candidates[np.argsort(ratio[candidates], kind="stable")]
        shown = np.unique(np.concatenate([ranked[:ENDS], ranked[-ENDS:]]))
    counts = {
        "total": total,
        "with_known_targets": int(known.sum()),
        "better_than_last_season": int((own[known] < theirs[known]).sum()),
        "shown": len(shown),
        "rule": "all"
        if total <= ALL
        else f"the {ENDS} lowest and the {ENDS} highest by the model's MAE ÷ that of the season before",
    }
    return shown.tolist(), counts
