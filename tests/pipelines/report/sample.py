"""A whole report with names that somebody hostile might choose, and every part filled."""

from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.display.names import shown
from pipelines.report.content import (
    About,
    Checkpoints,
    Column,
    CommitBytes,
    CommitPoint,
    Coverage,
    Curves,
    Fact,
    Forecasts,
    KindBytes,
    Lineage,
    Quality,
    Report,
    Score,
    Scores,
    SeriesForecast,
    SeriesScore,
    Timing,
    Window,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "../../x",
    "</script><img src=x onerror=alert(2)>",
    "\"'`${alert(3)}",
    "سلسلة زمنية",
    "<b>bold</b> & <!-- no",
    "%{y} {{ 7*7 }}",
    "\u202egnp.exe\x01model",
    "",
    "x" * 500,
]
HOUR = 3_600_000
START = 1_700_000_000_000


def forecast_of(name: str, horizon: int = 24) -> SeriesForecast:
    """Three windows in a row, one value of the target unknown."""
    times = [START + HOUR * hour for hour in range(3 * horizon + 10)]
    actual: list[float | None] = [float(value) for value in np.round(np.sin(np.arange(len(times)) / 4), 4)]
    actual[5] = None
    windows = []
    for number in range(3):
        ahead = times[10 + number * horizon : 10 + (number + 1) * horizon]
        middle = np.round(np.sin(np.arange(len(ahead)) / 4), 4)
        quantiles = tuple(tuple((middle + shift).tolist()) for shift in (-1.0, 0.0, 1.0))
        windows.append(Window(times=tuple(ahead), quantiles=quantiles))
    return SeriesForecast(
        name=shown(name),
        why="first",
        mae=1.5,
        times=tuple(times),
        actual=tuple(actual),
        windows=tuple(windows),
    )


def a_report(**changes: Any) -> Report:
    """Everything there, every name hostile."""
    names = tuple(shown(name) for name in HOSTILE)
    series = tuple(SeriesScore(name=name, maes=(1.0, 2.0 + n), coverage=0.8) for n, name in enumerate(names))
    report = Report(
        run="night-1",
        made="2026-01-01T00:00:00+00:00",
        about=About(
            state="finished",
            state_note="All 30 steps of its budget are done.",
            verdict="The model beats all baselines.",
            verdict_kind="good",
            sentences=tuple(f"It read {name}." for name in names),
            facts=(Fact("mean absolute error", "1.00", names[0]),),
        ),
        curves=Curves(
            steps=(10, 20, 30),
            losses=(1.0, None, 0.5),
            commits=(
                CommitPoint(id="a" * 32, step=0, training_loss=None, validation_loss=None),
                CommitPoint(id="b" * 32, step=20, training_loss=0.9, validation_loss=0.8),
                CommitPoint(id="c" * 32, step=30, training_loss=0.6, validation_loss=None),
            ),
            chosen="b" * 32,
            resumed_at=(20,),
            budget=30,
        ),
        timing=Timing(
            steps=(10, 20, 30),
            computing_s=(1.0, 1.0, 1.0),
            waiting_s=(0.1, 0.0, 0.0),
            validating_s=(0.0, 0.5, 0.0),
            saving_s=(0.0, 0.2, 0.0),
            windows_per_s=(100.0, None, 90.0),
            resumed_at=(20,),
        ),
        forecasts=Forecasts(
            target=names[0],
            levels=(0.1, 0.5, 0.9),
            ordinal=False,
            series=tuple(forecast_of(name) for name in HOSTILE),
            rule="These.",
        ),
        scores=Scores(
            target=names[0],
            windows=100,
            forecasts=(
                Score(
                    key="model", name="model", mae=1.0, pinball=0.3, coverage=0.8, by_step=(0.9, None, 1.1)
                ),
                Score(
                    key="zero", name=names[2], mae=2.0, pinball=None, coverage=None, by_step=(2.0, 2.0, 2.0)
                ),
            ),
            best_baseline="zero",
            nominal=0.8,
            levels=(0.1, 0.5, 0.9),
            below=(0.12, 0.5, 0.88),
            coverage_by_step=(0.8, None, 0.7),
            series=series,
            series_total=100,
            series_note="Some.",
            ratios=(0.0, 0.5, 1.0, 1.5),
            ratio_counts=(5, 80, 15),
        ),
        quality=Quality(
            facts=(Fact("rows", "1,000"), Fact("span", "1 year", names[2])),
            columns=tuple(
                Column(name=name, role="input" if n else "target", missing=0.1 * n, mean=0.0, std=1.0)
                for n, name in enumerate(names)
            ),
            coverage=Coverage(
                times=tuple(START + HOUR * n for n in range(8)),
                missing=(0.1,) * 8,
                series=names,
                by_series=tuple((0.1 * n % 1,) * 8 for n in range(len(names))),
                shown_of=100,
                ordinal=False,
            ),
            segment_rows=(10, 20, 40, 101),
            segment_counts=(3, 0, 2),
            flags=(f"{names[0]} is constant.",),
            note="A part.",
        ),
        checkpoints=Checkpoints(
            commits=(
                _commit("a", 0, 100_000, 90_000, 0),
                _commit("b", 20, 300_000, 250_000, 20_000),
                _commit("c", 30, 300_000, 240_000, None),
            ),
            total_commits=3,
            raw_bytes=700_000,
            stored_bytes=580_000,
            kinds=(KindBytes(kind="weights", tensors=5, raw_bytes=600_000, new_bytes=550_000),),
            note="",
        ),
        lineage=Lineage(
            pairs=(("run", "night-1"), ("table", names[2])),
            versions=(("PyTorch", "2"),),
            config=f"target: {names[0]}\n",
        ),
        notes=(names[2],),
    )
    return replace(report, **changes)


def _commit(digit: str, step: int, raw: int, stored: int, reused: int | None) -> CommitBytes:
    return CommitBytes(
        id=digit * 32,
        step=step,
        created="2026-01-01T00:00:00.000+00:00",
        training_loss=None,
        validation_loss=0.8,
        raw_bytes=raw,
        stored_bytes=stored,
        tags=("<i>tag",) if step else (),
        damaged=False,
        reused_bytes=reused,
    )
