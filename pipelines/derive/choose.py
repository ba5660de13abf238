"""Every setting of a run that follows from its table, with its reason; nothing is trained."""

import copy
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from lstm.tasks.forecast_config import ForecastConfig, check_times
from lstm.training.config import TrainingConfig
from lstm.windows import OrderSpec, Plan, SequenceIndex, SplitSpec, WindowSpec, index_snapshot, make_plan
from lstm.windows.errors import EmptySplit, TooFewRows
from lstm.windows.index.segments import chain, link
from pipelines.derive.columns import check_target, choose_past, choose_target, likely_targets, numeric_columns
from pipelines.derive.keys import find_keys
from pipelines.derive.reasons import Reasons
from pipelines.derive.request import CannotDerive, Request
from pipelines.derive.rhythm import Rhythm, choose_gap, find_rhythm
from pipelines.derive.sample import Sample, take_sample
from pipelines.derive.scale import choose_scale
from pipelines.derive.season import choose_season
from pipelines.derive.size import choose_memory, choose_ranks, choose_size
from pipelines.derive.splits import choose_splits
from pipelines.derive.window import Room, choose_horizon, choose_stride, choose_window
from storage.objects import Bucket
from storage.tables import Snapshot, Table

_TRIES = 5
_SHORTER = 0.6
"""What is left of the room for a context after each try that made no windows."""
_WINDOWS_A_SECOND = 1000
"""Windows of 48 rows of horizon that two processor cores train on, about. Longer ones cost more than their
rows, in the baselines of an evaluation too."""
_HORIZON = 48
_LEAST_WINDOWS = 30_000
_FEW = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What was chosen, and what it comes to."""

    snapshot: Snapshot
    format: str
    time: str
    entity: str | None
    max_gap: timedelta | None
    window: WindowSpec
    split: SplitSpec
    order: OrderSpec
    forecast: ForecastConfig
    training: TrainingConfig
    """Its steps are still to be found."""
    plan: Plan


@dataclass(frozen=True, slots=True)
class _Shape:
    """Windows and splits that the table can fill."""

    window: WindowSpec
    split: SplitSpec
    patch: int
    lag: int
    season: int
    max_gap: timedelta | None
    plan: Plan
    index: SequenceIndex


def choose(table: Table, wish: Request, cache: Bucket | None, reasons: Reasons) -> Choice:
    """Look at the newest snapshot and choose.

    Args:
        table: only read.
        wish: what the user says.
        cache: where the indexes of files are kept.
        reasons: are told why.

    Raises:
        UserError: the table cannot serve; the message says what would help.
    """
    snapshot = table.snapshot()
    keys = find_keys(snapshot, table.properties, wish, cache, reasons)
    likely = likely_targets(snapshot.schema, keys, wish)
    looked_at = numeric_columns(snapshot.schema, keys)
    if wish.past is not None and wish.target is not None:
        looked_at = [name for name in looked_at if name == wish.target or name in wish.past]
    sample = take_sample(keys.index, looked_at)
    rhythm = find_rhythm(keys.index, sample, reasons)
    early = sample.before(rhythm.first + int(0.7 * (rhythm.last - rhythm.first)))
    training_rows = early if len(early) else sample
    target = choose_target(likely, training_rows, reasons)
    check_target(training_rows, target, snapshot)
    past = choose_past(snapshot.schema, keys, target, training_rows, snapshot, wish, reasons)
    shape = _shape(keys.index, rhythm, target, sample, training_rows, wish, cache, reasons)
    check_times(shape.plan)
    order = OrderSpec()
    windows, plan = _thinned(shape, rhythm, wish, order, reasons)
    scale = choose_scale(target, training_rows, reasons)
    size = choose_size(plan.windows("train"), windows, reasons)
    ranks = choose_ranks(reasons)
    memory = choose_memory(plan, 1 + len(past), ranks, reasons)
    if wish.timezone is None:
        reasons.add("forecast.timezone", "not told: the clock and the week of UTC; --timezone names another")
    else:
        reasons.add("forecast.timezone", "as told (--timezone)")
    _remark_on(plan, reasons)
    return Choice(
        snapshot=snapshot,
        format=table.format,
        time=keys.time,
        entity=keys.entity,
        max_gap=shape.max_gap,
        window=windows,
        split=shape.split,
        order=order,
        forecast=ForecastConfig(
            target=target,
            past=past,
            timezone=_checked_zone(wish.timezone or "UTC"),
            hidden=size.hidden,
            layers=size.layers,
            patch=shape.patch,
            lag=shape.lag,
            season=shape.season,
            scale=scale,
        ),
        training=TrainingConfig(batch_size=size.batch, ranks=ranks, memory_mib=memory),
        plan=plan,
    )


def _shape(
    index: SequenceIndex, rhythm: Rhythm, target: str, sample: Sample, training_rows: Sample, wish: Request,
    cache: Bucket | None, reasons: Reasons,
) -> _Shape:  # fmt: skip
    """Windows that fit; tried with less room for the context until the table fills every split.

    Raises:
        WindowError: even the shortest windows do not.
    """
    length, allowance = rhythm.length, 1.0
    failure: Exception | None = None
    for _ in range(_TRIES):
        told = copy.deepcopy(reasons)
        horizon = choose_horizon(rhythm, length, wish, told)
        split = choose_splits(rhythm, horizon, told)
        training = length if 2 * length < rhythm.span else int(length * (1 - split.validation - split.test))
        room = Room(length, int(training * allowance), len(index.series))
        season = choose_season(rhythm, target, training_rows, horizon, room.context(horizon), told)
        window, patch, lag = choose_window(rhythm, season, horizon, room, told)
        gap = choose_gap(rhythm, sample, window.length, told)
        cut = index if gap is None else index_snapshot(
            index.snapshot, entity=index.keys.entity, time=index.keys.time, max_gap=gap, cache=cache
        )  # fmt: skip
        stretch = _typical(cut)
        if stretch < length and room.context(horizon) > Room(stretch, stretch, len(index.series)).context(
            horizon
        ):
            length = stretch  # gaps leave less room than the series have rows
            continue
        try:
            plan = make_plan(cut, window, split, OrderSpec())
        except (TooFewRows, EmptySplit) as error:
            failure, allowance = error, allowance * _SHORTER
            continue
        reasons.by_key, reasons.remarks = told.by_key, told.remarks
        return _Shape(window, split, patch, lag, season.rows, gap, plan, cut)
    raise failure or CannotDerive(
        f"stretches between gaps are typically {length} rows long: too short for windows; resample the "
        "table to a coarser interval"
    )


def _typical(index: SequenceIndex) -> int:
    """Rows of the segment that a row is typically part of."""
    rows = np.sort(chain(index.pieces, link(index.pieces, index.keys.max_gap)).rows)[::-1]
    return int(rows[np.searchsorted(np.cumsum(rows), rows.sum() / 2)])


def _thinned(
    shape: _Shape, rhythm: Rhythm, wish: Request, order: OrderSpec, reasons: Reasons
) -> tuple[WindowSpec, Plan]:
    """The window with its stride, and the plan."""
    every = sum(shape.plan.windows(split) for split in shape.plan.splits)
    pace = _WINDOWS_A_SECOND * min(1.0, _HORIZON / shape.window.horizon) ** 1.5
    most = max(_LEAST_WINDOWS, int(60 * wish.budget * pace))
    if 4 * shape.window.length > rhythm.length:
        most = every  # short series: a stride would skip whole series, or splits
    stride = choose_stride(every, most, shape.lag, reasons)
    if stride == 1:
        return shape.window, shape.plan
    window = replace(shape.window, stride=stride)
    try:
        return window, make_plan(shape.index, window, shape.split, order)
    except EmptySplit:
        choose_stride(every, every, shape.lag, reasons)
        return shape.window, shape.plan


def _checked_zone(name: str) -> str:
    try:
        ForecastConfig(target="any", timezone=name)
    except ValueError as error:
        raise CannotDerive(f"--timezone {name}: {error}") from None
    return name


def _remark_on(plan: Plan, reasons: Reasons) -> None:
    longest = np.zeros(len(plan.series), np.int64)
    np.maximum.at(longest, plan.segments.series, plan.segments.rows)
    short = int(np.sum(longest < plan.window.length))
    if short:
        reasons.remark(
            f"{short:,} of {len(plan.series):,} series have no stretch of a window's {plan.window.length} "
            "rows: nothing is learned from them"
        )
    if plan.windows("train") < _FEW:
        reasons.remark(
            f"only {plan.windows('train'):,} training windows: expect little of the model, and compare it "
            "with the baselines (`carousel evaluate`)"
        )
