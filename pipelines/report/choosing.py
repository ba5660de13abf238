"""Which series and which windows of theirs a page shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows import Plan, Split
from pipelines.report.content import number

WINDOWS = 7
"""Windows of a series, at most: their horizons do not overlap."""
ROWS = 2000
"""Rows that these horizons cover, at most, unless one alone has more."""

RULE = (
    "Shown are the series with the three lowest, three middle and three highest mean absolute errors, and "
    "the first three of the table; of each the last windows whose horizons do not overlap."
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A series, and why it is shown."""

    series: int
    why: str


def choose(plan: Plan, split: Split, errors: Mapping[str, Mapping[str, float | None]]) -> list[Choice]:
    """Up to twelve series that have windows.

    Args:
        plan: of the windows.
        split: whose windows are wanted.
        errors: by the name of a series, as an evaluation reports; of many series only those with the best and
            the worst ratio to a baseline, and then no median is known.
    """
    having = _having(plan, split)
    maes = {
        series: error
        for series in having
        if (error := number(errors.get(str(plan.series[series]), {}).get("mae"))) is not None
    }
    ranked = sorted(maes, key=lambda series: (maes[series], series))
    middle, all_known = len(ranked) // 2, len(errors) >= len(plan.series)
    wanted = [
        *((series, "lowest error") for series in ranked[:3]),
        *((series, "median error") for series in ranked[max(0, middle - 1) : middle + 2] if all_known),
        *((series, "highest error") for series in reversed(ranked[-3:])),
        *((series, "among the first") for series in having[: 3 if ranked else 12]),
    ]
    first: dict[int, str] = {}
    for series, why in wanted:
        first.setdefault(series, why)
    return [Choice(series, why) for series, why in first.items()]


def last_windows(plan: Plan, split: Split, series: int) -> NDArray[np.int64]:
    """Logical first rows of the last windows of a series whose horizons do not overlap, in order of time."""
    horizon, stride = plan.window.horizon, plan.window.stride
    most = max(1, min(WINDOWS, ROWS // horizon))
    first, last = _runs(plan, split, series)
    starts: list[int] = []
    bound = int(last.max())
    while len(starts) < most:
        earlier = np.flatnonzero(first <= bound)
        if not len(earlier):
            break
        run = earlier[-1]
        start = min(int(last[run]), int(first[run] + (bound - first[run]) // stride * stride))
        starts.append(start)
        bound = start - horizon
    return np.array(starts[::-1], np.int64)


def _having(plan: Plan, split: Split) -> Sequence[int]:
    """Series with windows in a split, in the table's order."""
    first, last = plan.start_ranges(split)
    return [int(series) for series in np.unique(plan.segments.series[last >= first])]


def _runs(plan: Plan, split: Split, series: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last start of the windows of each segment of a series, as logical rows, ascending."""
    segments, (first, last) = plan.segments, plan.start_ranges(split)
    own = (segments.series == series) & (last >= first)
    return segments.first[:-1][own] + first[own], segments.first[:-1][own] + last[own]
