"""An evaluation as tables (rich, for the terminal; plain rows for Prefect) and as a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from pipelines.display.figures import figure
from pipelines.display.names import shown

if TYPE_CHECKING:
    from lstm.tasks.evaluate import Evaluation

SHOWN_SERIES = 24
"""Series of a table on the terminal; the report has more."""


def metric_rows(figures: Evaluation) -> list[dict[str, Any]]:
    """The model and the baselines, over all series and then by series."""
    forecasts = {"model": figures.model, **figures.baselines}
    rows = [{"forecast": name, "series": "all", **_rounded(each["all"])} for name, each in forecasts.items()]
    return rows + [
        {"forecast": name, "series": series, **_rounded(each["series"][series])}
        for series in figures.model["series"]
        for name, each in forecasts.items()
    ]


def metric_table(figures: Evaluation) -> Table:
    """The model and the baselines over all series, for a terminal."""
    table = Table("forecast", "MAE", "pinball loss", _interval(figures), box=None)
    for name, report in {"model": figures.model, **figures.baselines}.items():
        own = report["all"]
        table.add_row(figures.name(name), figure(own["mae"]), figure(own.get("pinball")), _coverage(own))
    return table


def series_table(figures: Evaluation) -> Table | None:
    """By series, for a terminal: the mean absolute error of the model and of each baseline on its windows.

    Of many series those with the lowest and the highest errors; None where there is only one.
    """
    forecasts = {"model": figures.model, **figures.baselines}
    names, title = list(figures.model["series"]), "MAE by series"
    if len(names) < 2:
        return None
    if len(names) > SHOWN_SERIES:
        half = SHOWN_SERIES // 2
        ranked = sorted(names, key=lambda name: figures.model["series"][name]["mae"] or 0.0)
        names = ranked[:half] + ranked[-half:]
        title = f"MAE: {half} lowest, {half} highest"
    headers = [figures.name(name) for name in forecasts]
    table = Table(title, *headers, "pinball loss", _interval(figures), box=None)
    for series in names:
        own = figures.model["series"][series]
        errors = [figure(report["series"][series]["mae"]) for report in forecasts.values()]
        table.add_row(shown(series), *errors, figure(own["pinball"]), _coverage(own))
    return table


def verdict(figures: Evaluation) -> str:
    """Whether the model is worth its training, in plain words."""
    own = figures.model["all"]["mae"]
    if not math.isfinite(own):
        return (
            f"The model's mean absolute error is {own}: some of its forecasts are no finite numbers. "
            "It beats nothing; do not use it."
        )
    digits = 2 if own >= 1 else 4
    if figures.lost_to:
        lost = ", ".join(
            f"{figures.name(name)} ({figure(figures.baselines[name]['all']['mae'], digits)})"
            for name in figures.lost_to
        )
        return f"The model ({figure(own, digits)}) LOSES to: {lost}. Do not use it as it is."
    best = figures.best_baseline
    reference = figures.baselines[best]["all"]["mae"]
    both = f"{figure(own, digits)} against {figure(reference, digits)}"
    return (
        f"The model beats all baselines: {both} of the best, {figures.name(best)} "
        f"({1 - own / reference:.1%} less)."
    )


def _interval(figures: Evaluation) -> str:
    return f"in the {figures.model['nominal_coverage']:.0%} interval"


def _coverage(report: Mapping[str, float | None]) -> str:
    coverage = report.get("coverage")
    return "" if coverage is None else f"{coverage:.0%}"


def _rounded(report: Mapping[str, float | None]) -> dict[str, float | None]:
    """Without NaN and infinity, which JSON does not know."""
    return {
        name: None if value is None or not math.isfinite(value) else round(value, 4)
        for name, value in report.items()
    }
