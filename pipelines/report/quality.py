"""What the table is like, from the plan alone and, where its snapshot can still be read, from its rows."""

from collections.abc import Iterator

import numpy as np

from lstm.tasks.forecast import ForecastTask
from lstm.windows import Plan
from pipelines.display.names import shown
from pipelines.report.content import Column, Coverage, Fact, Missing, Quality, Time
from pipelines.report.scan import Scan
from pipelines.report.wording import counted, listed, share, span

ROWS_SHOWN = 40
"""Series of the map of what is missing."""
MUCH = 0.2
"""Share of a column without a value from which it is flagged."""


def quality_of(plan: Plan, task: ForecastTask, scanned: Scan | Missing) -> Quality:
    """The plan's facts, the columns', and what a person should know before trusting a forecast."""
    edges, counts = _lengths(plan)
    return Quality(
        facts=tuple(_facts(plan)),
        columns=_columns(task, scanned),
        coverage=scanned if isinstance(scanned, Missing) else _coverage(plan, scanned),
        segment_rows=edges,
        segment_counts=counts,
        flags=tuple(_flags(plan, task, scanned)),
        note=_note(scanned),
    )


def shown_time(plan: Plan, time: float) -> Time:
    """As figures take it: milliseconds since 1970 UTC, or the ordinal."""
    return int(time) if plan.keys.ordinal else time / 1000


def interval_text(plan: Plan) -> str:
    """How far apart rows usually are."""
    if plan.keys.ordinal:
        return counted(plan.interval, "step")
    return span(plan.interval)


def _facts(plan: Plan) -> Iterator[Fact]:
    pieces, segments = plan.pieces, plan.segments
    first, last = int(pieces.first_time.min()), int(pieces.last_time.max())
    yield Fact("rows", f"{plan.rows:,}")
    yield Fact(
        "series", f"{len(plan.series):,}", "told apart by an entity" if plan.keys.entity else "no entity"
    )
    length = f"{last - first + 1:,} ordinals" if plan.keys.ordinal else span(last - first)
    yield Fact(
        "span", length, f"{_say(plan, first)} to {_say(plan, last)}{'' if plan.keys.ordinal else ' UTC'}"
    )
    yield Fact("sampling", interval_text(plan), "between most rows of a series")
    if plan.keys.grid is not None:
        yield Fact(
            "added by the grid",
            f"{plan.filled:,}",
            f"of the rows: the table lacks them, so nothing is known there ({plan.filled / plan.rows:.1%})",
        )
    gaps = len(segments.series) - len(plan.series)
    cut = (
        "a series is cut where rows are further apart than " + _gap(plan)
        if plan.keys.max_gap
        else "never cut"
    )
    yield Fact("segments", f"{len(segments.series):,}", f"{counted(gaps, 'gap')}; {cut}")
    longest, total = _gaps(plan)
    if gaps:
        widest = f"{longest:,} ordinals" if plan.keys.ordinal else span(longest)
        yield Fact("longest gap", widest, f"about {counted(total, 'row')} missing in all gaps")
    yield Fact(
        "windows",
        f"{plan.windows('train'):,}",
        f"for training; {plan.windows('validation'):,} validation, {plan.windows('test'):,} test",
    )


def _say(plan: Plan, time: int) -> str:
    return plan.keys.say(time).replace("T", " ").removesuffix(":00Z").removesuffix("Z")


def _gap(plan: Plan) -> str:
    assert plan.keys.max_gap is not None
    return f"{plan.keys.max_gap:,}" if plan.keys.ordinal else span(plan.keys.max_gap)


def _gaps(plan: Plan) -> tuple[int, int]:
    """The longest gap between two segments of a series, and the rows that all of them lack."""
    segments, pieces = plan.segments, plan.pieces
    starts, ends = segments.first_piece[:-1], segments.first_piece[1:] - 1
    begins = pieces.first_time[segments.chained[starts]]
    lasts = pieces.last_time[segments.chained[ends]]
    same = segments.series[1:] == segments.series[:-1]
    gaps = (begins[1:] - lasts[:-1])[same]
    if not len(gaps):
        return 0, 0
    return int(gaps.max()), int(np.sum(np.maximum(gaps // max(1, plan.interval) - 1, 0)))


def _lengths(plan: Plan) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rows = plan.segments.rows
    low, high = int(rows.min()), int(rows.max())
    edges = np.unique(np.geomspace(max(1, low), high + 1, 25).astype(np.int64))
    if len(edges) < 2:
        edges = np.array([low, high + 1])
    edges[0], edges[-1] = low, high + 1
    counts, _ = np.histogram(rows, edges)
    return tuple(edges.tolist()), tuple(counts.tolist())


def _columns(task: ForecastTask, scanned: Scan | Missing) -> tuple[Column, ...]:
    places = [task.scaling.columns.index(name) for name in task.columns]
    return tuple(
        Column(
            name=shown(name),
            role="target" if number == 0 else "input",
            missing=None
            if isinstance(scanned, Missing) or not scanned.rows
            else float(scanned.missing[number] / scanned.rows),
            mean=task.scaling.mean[place],
            std=task.scaling.std[place],
        )
        for number, (name, place) in enumerate(zip(task.columns, places, strict=True))
    )


def _coverage(plan: Plan, scanned: Scan) -> Coverage:
    with np.errstate(invalid="ignore", divide="ignore"):
        overall = np.where(scanned.stretch_rows > 0, scanned.stretch_missing / scanned.stretch_rows, np.nan)
    names: tuple[str, ...] = ()
    cells: tuple[tuple[float | None, ...], ...] = ()
    if scanned.known is not None:
        absent = np.clip(1 - scanned.known / scanned.expected, 0, 1)
        most = np.argsort(-absent.mean(1), kind="stable")[:ROWS_SHOWN]
        kept = np.sort(most)
        names = tuple(shown(plan.series[number]) for number in kept)
        cells = tuple(tuple(round(float(cell), 3) for cell in absent[number]) for number in kept)
    return Coverage(
        times=tuple(shown_time(plan, float(start)) for start in scanned.starts),
        missing=tuple(None if np.isnan(value) else round(float(value), 4) for value in overall),
        series=names,
        by_series=cells,
        shown_of=len(plan.series),
        ordinal=plan.keys.ordinal,
    )


def _flags(plan: Plan, task: ForecastTask, scanned: Scan | Missing) -> Iterator[str]:
    segments = plan.segments
    rows = np.zeros(len(plan.series), np.int64)
    np.maximum.at(rows, segments.series, segments.rows)
    if few := np.flatnonzero(rows < plan.window.length).tolist():
        names = listed([shown(plan.series[number]) for number in few[:7]], 6) if len(few) <= 7 else ""
        yield (
            f"{counted(len(few), 'series', 'series')} of {len(plan.series):,} have no gap-free stretch of "
            f"{plan.window.length} rows, so no window of theirs exists{': ' + names if names else ''}."
        )
    if constant := [shown(name) for name in task.columns if not _deviation(task, name)]:
        yield f"Constant in the training rows, so it says nothing: {listed(constant)}."
    if isinstance(scanned, Missing):
        return
    for name, count in zip(task.columns, scanned.missing, strict=True):
        if scanned.rows and count / scanned.rows >= MUCH:
            yield (
                f"{shown(name)}: {share(count / scanned.rows)} of the rows have no value. They stay missing: "
                "the model is told which they are, and none is counted in an error."
            )
    if infinite := [shown(name) for name, n in zip(task.columns, scanned.infinite, strict=True) if n]:
        yield f"Infinite values in {listed(infinite)}."
    if scanned.steps and scanned.uneven / scanned.steps > 0.01:
        yield (
            f"{share(scanned.uneven / scanned.steps)} of the steps between rows of a series are not "
            f"{interval_text(plan)}: the sampling is irregular, or rows are missing."
        )


def _deviation(task: ForecastTask, name: str) -> float:
    return task.scaling.std[task.scaling.columns.index(name)]


def _note(scanned: Scan | Missing) -> str:
    if isinstance(scanned, Missing) or scanned.whole:
        return ""
    return (
        f"Measured on {scanned.rows:,} rows: {scanned.groups:,} of {scanned.groups_of:,} row groups, evenly "
        "spread over the table."
    )
