"""All figures of a report, by the section of the page that they stand in."""

from collections.abc import Iterable, Mapping

from pipelines.report.content import Missing, Report
from pipelines.report.figures import calibration, checkpoints, forecast, loss, quality, scores, timing
from pipelines.report.figures.figure import Figure


def drawn(report: Report) -> Mapping[str, list[Figure]]:
    """Figures by section, those left out that have nothing to draw."""
    return {
        "forecasts": _some(
            [None if isinstance(report.forecasts, Missing) else forecast.forecast(report.forecasts)]
        ),
        "scores": _scores(report),
        "calibration": _calibration(report),
        "training": _some([loss.loss(report.curves)]),
        "data": _quality(report),
        "checkpoints": _some(
            [checkpoints.stored(report.checkpoints), checkpoints.shared(report.checkpoints)]
        ),
        "timing": []
        if isinstance(report.timing, Missing)
        else _some([timing.parts(report.timing), timing.speed(report.timing)]),
    }


def _scores(report: Report) -> list[Figure]:
    if isinstance(report.scores, Missing):
        return []
    found = report.scores
    return _some(
        [scores.overall(found), scores.by_step(found), scores.by_series(found), scores.ratios(found)]
    )


def _calibration(report: Report) -> list[Figure]:
    if isinstance(report.scores, Missing):
        return []
    return _some([calibration.reliability(report.scores), calibration.coverage(report.scores)])


def _quality(report: Report) -> list[Figure]:
    found = report.quality
    over_time = (
        []
        if isinstance(found.coverage, Missing)
        else [quality.missing_map(found.coverage), quality.missing_over_time(found.coverage)]
    )
    return _some([*over_time, quality.columns(found.columns), quality.segments(found)])


def _some(figures: Iterable[Figure | None]) -> list[Figure]:
    return [figure for figure in figures if figure is not None]
