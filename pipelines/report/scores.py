"""An evaluation, cut down to what a page can show of any number of series."""

from collections.abc import Sequence

import numpy as np

from lstm.tasks.evaluate import Evaluation
from pipelines.display.names import shown
from pipelines.report.content import Score, Scores, SeriesScore, number

SHOWN = 40
"""Series up to which all are shown; of more, those with the best and the worst ratio."""
_EACH = 15
_BINS = 30


def scores_of(figures: Evaluation, levels: Sequence[float]) -> Scores:
    """The model beside the baselines: over all, by step, by series."""
    reports = {"model": figures.model, **figures.baselines}
    best = figures.best_baseline
    names, ratios = _ratios(figures, best)
    kept, note = _kept(ratios)
    finite = ratios[np.isfinite(ratios)]
    total = int(figures.series.get("total", len(names)))
    if len(names) < total:  # only the best and the worst are told, which are no picture of all
        finite = finite[:0]
    counts, edges = np.histogram(np.clip(finite, 0, 2), _BINS, (0, 2))
    below = figures.model.get("below_by_level", {})
    return Scores(
        target=figures.target,
        windows=figures.windows,
        forecasts=tuple(
            Score(
                key=key,
                name=figures.name(key),
                mae=number(report["all"]["mae"]),
                pinball=number(report["all"].get("pinball")),
                coverage=number(report["all"].get("coverage")),
                by_step=tuple(number(value) for value in report["mae_by_step"]),
                mase=number(report.get("scaled", {}).get("mase")),
                smape=number(report.get("scaled", {}).get("smape")),
            )
            for key, report in reports.items()
        ),
        best_baseline=best,
        nominal=figures.model["nominal_coverage"],
        levels=tuple(levels),
        below=tuple(number(below.get(str(level))) for level in levels),
        coverage_by_step=tuple(number(value) for value in figures.model.get("coverage_by_step", ())),
        series=tuple(
            SeriesScore(
                name=shown(None if names[place] == "None" and len(names) == 1 else names[place]),
                maes=tuple(number(report["series"][names[place]]["mae"]) for report in reports.values()),
                coverage=number(figures.model["series"][names[place]].get("coverage")),
            )
            for place in kept
        ),
        series_total=total,
        series_note=note if len(names) == total else f"{note} {_many(figures)}".strip(),
        ratios=tuple(edges.tolist()),
        ratio_counts=tuple(counts.tolist()),
    )


def _many(figures: Evaluation) -> str:
    """How many of all series the model is better on."""
    known, better = (
        figures.series.get("with_known_targets", 0),
        figures.series.get("better_than_last_season", 0),
    )
    return (
        f"Of {known:,} series with known values the model is better on {better:,} than what was a season "
        "before."
    )


def _ratios(figures: Evaluation, best: str) -> tuple[list[str], np.ndarray]:
    """Every series, and the model's error ÷ the best baseline's; NaN where one is not known."""
    own, theirs = figures.model["series"], figures.baselines[best]["series"]
    names = list(own)
    pairs = [(number(own[name]["mae"]), number(theirs[name]["mae"])) for name in names]
    return names, np.array(
        [np.nan if mine is None or not other else mine / other for mine, other in pairs], np.float64
    )


def _kept(ratios: np.ndarray) -> tuple[list[int], str]:
    """Places of the series to show, the best ratio first, and how they were chosen."""
    order = np.argsort(ratios, kind="stable").tolist()  # NaN comes last
    if len(order) <= SHOWN:
        return order, ""
    known = order[: int(np.isfinite(ratios).sum())]
    kept = known if len(known) <= 2 * _EACH else [*known[:_EACH], *known[-_EACH:]]
    return kept, (
        f"Shown are the {_EACH} series that the model beats the best baseline on by most, and the {_EACH} "
        "with the worst ratio; `carousel evaluate` lists more."
    )
