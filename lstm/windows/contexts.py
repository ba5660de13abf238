"""The newest context of every series, to forecast what does not exist yet."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows.batch import Batch
from lstm.windows.features.finish import Finish
from lstm.windows.index.runs import Entity
from lstm.windows.plan.plan import Plan
from lstm.windows.read.read import WindowReader


@dataclass(frozen=True, slots=True)
class LastContexts:
    """A batch whose horizons lie in the future, and the series that are too short for one."""

    batch: Batch
    """values: NaN in the horizon; times: go on by the series' own interval."""
    skipped: tuple[Entity, ...]
    """Series whose newest segment has fewer than `context` rows."""


def last_contexts(
    plan: Plan, reader: WindowReader, finish: Callable[[Batch], Batch] | None = None
) -> LastContexts:
    """The last `context` rows of the newest segment of every series, in the order of series.

    Times of the horizon go on from the last row by the median step of the context (the lower of two), or by
    the plan's interval where the context is a single row. `finish`: as a stream's.
    """
    context, length = plan.window.context, plan.window.length
    segments = plan.segments
    newest = np.searchsorted(segments.series, np.arange(len(plan.series)), side="right") - 1
    long_enough = segments.rows[newest] >= context
    series = np.flatnonzero(long_enough)
    first = segments.first[newest[series] + 1] - context
    rows = reader.read(first, context)
    values = np.full((len(series), length, reader.width), np.nan, np.float32)
    values[:, context:, len(reader.columns) :] = 0  # ids of what does not exist yet
    values[:, :context] = rows.values.reshape(len(series), context, reader.width)
    times = np.empty((len(series), length), np.int64)
    times[:, :context] = rows.times.reshape(len(series), context)
    ahead = np.arange(1, plan.window.horizon + 1)
    times[:, context:] = times[:, context - 1 : context] + _steps(times[:, :context], plan)[:, None] * ahead
    batch = Batch(
        epoch=0,
        index=0,
        size=len(series),
        positions=np.arange(len(series)),
        values=values,
        times=times,
        series=series,
        starts=first - segments.series_first[series],
    )
    batch = (finish or Finish(reader.features, plan))(batch)
    return LastContexts(batch, tuple(plan.series[number] for number in np.flatnonzero(~long_enough)))


def _steps(times: NDArray[np.int64], plan: Plan) -> NDArray[np.int64]:
    """[n] the usual step of each row of `times` [n, context]."""
    if times.shape[1] == 1:
        return np.full(len(times), plan.interval)
    steps = np.sort(np.diff(times, axis=1), axis=1)
    return steps[:, (steps.shape[1] - 1) // 2]
