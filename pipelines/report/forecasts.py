"""Forecast against actual: the model's quantiles on some windows of some series."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lstm.training.trained import Trained
from lstm.windows import Batch, Plan, Split, WindowReader
from pipelines.display.names import shown
from pipelines.report.choosing import RULE, Choice, choose, last_windows
from pipelines.report.content import Forecasts, Missing, SeriesForecast, Time, Window, number
from pipelines.report.quality import shown_time
from storage.tables import Snapshot

_LEAD = 120
"""Rows of the context that stand before the first forecast, at most."""

_SPLITS: tuple[Split, ...] = ("test", "validation", "train")


def forecasts_of(
    trained: Trained, snapshot: Snapshot, errors: Mapping[str, Mapping[str, float | None]]
) -> Forecasts | Missing:
    """Forecast the chosen windows; of the test split, or the first that has any.

    Raises:
        UserError: the snapshot cannot be read any more.
    """
    plan, task = trained.plan, trained.task
    split = next((split for split in _SPLITS if plan.windows(split)), None)
    if split is None:
        return Missing("The plan has no window.")
    reader = WindowReader(snapshot, plan, task.features)
    series = [_series(trained, reader, split, choice, errors) for choice in choose(plan, split, errors)]
    note = "" if split == "test" else f" There are no test windows: these are {split} windows."
    return Forecasts(
        target=shown(task.config.target),
        levels=task.config.quantiles,
        ordinal=plan.keys.ordinal,
        series=tuple(series),
        rule=RULE + note,
    )


def _series(
    trained: Trained,
    reader: WindowReader,
    split: Split,
    choice: Choice,
    errors: Mapping[str, Mapping[str, float | None]],
) -> SeriesForecast:
    plan, task = trained.plan, trained.task
    starts = last_windows(plan, split, choice.series)
    batch = _batch(plan, reader, starts, choice.series)
    quantiles_BHQ = task.predict(trained.model, task.inputs(batch))
    context = plan.window.context
    times, actual = _actual(plan, batch)
    return SeriesForecast(
        name=shown(plan.series[choice.series]),
        why=choice.why,
        mae=number(errors.get(str(plan.series[choice.series]), {}).get("mae")),
        times=times,
        actual=actual,
        windows=tuple(
            Window(
                times=tuple(shown_time(plan, float(time)) for time in batch.times[place, context:]),
                quantiles=tuple(_figures(level) for level in quantiles_BHQ[place].T),
            )
            for place in range(len(batch))
        ),
    )


def _batch(plan: Plan, reader: WindowReader, starts: NDArray[np.int64], series: int) -> Batch:
    count, length = len(starts), plan.window.length
    rows = reader.read(starts, length)
    return Batch(
        epoch=0,
        index=0,
        size=count,
        positions=np.arange(count),
        values=rows.values.reshape(count, length, -1),
        times=rows.times.reshape(count, length),
        series=np.full(count, series),
        starts=starts - plan.segments.series_first[series],
    )


def _actual(plan: Plan, batch: Batch) -> tuple[tuple[Time, ...], tuple[float | None, ...]]:
    """The target from a little before the first horizon on; a None where rows are missing in between."""
    context, horizon = plan.window.context, plan.window.horizon
    lead = min(context, _LEAD, max(8, 2 * horizon))
    times, places = np.unique(batch.times[:, context - lead :], return_index=True)
    values = batch.values[:, context - lead :, 0].reshape(-1)[places]
    gaps = np.flatnonzero(np.diff(times) > 1.5 * plan.interval) + 1
    between = (times[gaps - 1] + times[gaps]) / 2
    every = np.insert(times.astype(np.float64), gaps, between)
    return (
        tuple(shown_time(plan, float(time)) for time in every),
        _figures(np.insert(values, gaps, np.nan)),
    )


def _figures(values: NDArray[np.float32]) -> tuple[float | None, ...]:
    """With five digits, as many as a pixel shows; None where there is no number."""
    return tuple(float(f"{value:.5g}") if np.isfinite(value) else None for value in values.tolist())
