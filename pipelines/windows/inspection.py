"""Everything that is told about a plan, as plain values."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows import SPLITS, Column, Plan, Split, WindowReader
from lstm.windows.read.layout import SAID, layout_of
from lstm.windows.read.memory import rank_bytes
from lstm.windows.table.sorted_rows import in_order
from storage.tables import Snapshot

_SAMPLED = 8
"""Row groups that are read to measure the bytes of a row."""
_RANKS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitLine:
    """One split."""

    windows: int
    series: int
    """Series that have a window in it."""
    horizons_from: str | None
    """None: from the first row on."""
    horizons_before: str | None
    """None: to the last row."""
    dropped: int = 0
    """Windows that are left out, since they hold missing values of a column whose null policy says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesLine:
    """One series."""

    name: str | int | None
    rows: int
    segments: int
    first: str
    last: str
    windows: dict[Split, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reads:
    """What an epoch of training reads, on each of the ranks that the settings name."""

    layout: str
    said: str
    """The layout in words."""
    ranks: int
    memory_mib: int
    """What a rank may hold of the table's rows."""
    row_groups: int
    """That rank 0 needs."""
    halo: float
    """1 + halo ÷ superblock: rows of the blocks ÷ rows of their superblocks."""
    amplification: float
    """Row groups fetched ÷ row groups needed, expected with this memory."""
    amplification_without_memory: float
    """The same if no row group stayed in memory between two blocks that need it."""
    bytes_per_row: float
    """Stored bytes of the needed columns, measured on `sampled` row groups."""
    sampled: int
    bytes_per_epoch: int
    """Expected to be fetched by all ranks."""
    sorted_as_read: float | None
    """Seconds to read a row group and sort its rows ÷ seconds to read it, measured on `sampled` row groups;
    None: rows lie in order, and none are sorted."""
    saved_if_sorted: float
    """Share of it that a table sorted by entity and time would save."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What the blocks of the training and validation streams take on each rank."""

    ranks: int
    bytes: int
    fits: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """One plan."""

    table: str
    snapshot: str
    plan_id: str
    columns: tuple[str, ...]
    context: int
    horizon: int
    stride: int
    rows: int
    files: int
    row_groups: int
    series: int
    segments: int
    gaps: int
    """Places at which a series is cut."""
    max_gap: str | None
    """Time between two rows above which a series is cut; None: never."""
    grid: str | None
    """Time between two rows of a series, where those that the table lacks are added; None: its own rows."""
    filled: int
    """Rows that the grid adds, without values; counted in `rows`."""
    interval: str
    superblocks: int
    lanes: int
    pool: int
    first: str
    last: str
    splits: dict[Split, SplitLine]
    reads: Reads
    memory: tuple[Memory, ...]
    by_series: tuple[SeriesLine, ...]
    """The first and the last ones of many."""


def inspect(
    snapshot: Snapshot,
    plan: Plan,
    columns: Sequence[str | Column],
    *,
    ranks: int,
    memory_mib: int,
    seed: int = 0,
    most_series: int = 24,
) -> Inspection:
    """Gather what there is to say; reads some row groups, to measure how many bytes a row takes.

    Args:
        snapshot: the one that was planned.
        plan: which windows there are.
        columns: the features.
        ranks: that will train.
        memory_mib: what each of them may hold of the table's rows.
        seed: of the order that is walked through.
        most_series: how many of them get a line.
    """
    counts = {split: plan.windows_by_series(split) for split in SPLITS}
    reader = WindowReader(snapshot, plan, columns)
    names, row_bytes = reader.features.names, reader.row_bytes
    return Inspection(
        table=plan.table,
        snapshot=plan.snapshot_id,
        plan_id=plan.id,
        columns=names,
        context=plan.window.context,
        horizon=plan.window.horizon,
        stride=plan.window.stride,
        rows=plan.rows,
        files=len(plan.files),
        row_groups=int(np.count_nonzero(plan.pieces.group_rows)),
        series=len(plan.series),
        segments=len(plan.segments.series),
        gaps=len(plan.segments.series) - len(plan.series),
        max_gap=None if plan.keys.max_gap is None else _duration(plan, plan.keys.max_gap),
        grid=None if plan.keys.grid is None else _duration(plan, plan.keys.grid),
        filled=plan.filled,
        interval=_duration(plan, plan.interval),
        superblocks=len(plan.superblocks),
        lanes=plan.order.lanes,
        pool=plan.order.pool,
        first=plan.keys.say(int(plan.pieces.first_time.min())),
        last=plan.keys.say(int(plan.pieces.last_time.max())),
        splits={
            split: SplitLine(
                windows=plan.windows(split),
                series=int(np.count_nonzero(counts[split])),
                horizons_from=None if first is None else plan.keys.say(first),
                horizons_before=None if end is None else plan.keys.say(end),
                dropped=plan.dropped(split),
            )
            for split, (first, end) in plan.splits.items()
        },
        reads=_reads(snapshot, plan, names, row_bytes, ranks, memory_mib),
        memory=_memory(plan, row_bytes, ranks, memory_mib),
        by_series=_by_series(plan, counts, most_series),
    )


def segment_times(plan: Plan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[m] the first and the last time of each segment."""
    segments, pieces = plan.segments, plan.pieces
    return (
        pieces.first_time[segments.chained[segments.first_piece[:-1]]],
        pieces.last_time[segments.chained[segments.first_piece[1:] - 1]],
    )


def picked(series: int, most: int) -> list[int]:
    """The series that are shown: all, or the first and the last ones."""
    if series <= most:
        return list(range(series))
    half = most // 2
    return [*range(half), *range(series - (most - half), series)]


def _by_series(plan: Plan, counts: dict[Split, NDArray[np.int64]], most: int) -> tuple[SeriesLine, ...]:
    first, last = segment_times(plan)
    bounds = np.searchsorted(plan.segments.series, np.arange(len(plan.series) + 1))
    rows = np.diff(plan.segments.series_first)
    return tuple(
        SeriesLine(
            name=plan.series[number],
            rows=int(rows[number]),
            segments=int(bounds[number + 1] - bounds[number]),
            first=plan.keys.say(int(first[bounds[number]])),
            last=plan.keys.say(int(last[bounds[number + 1] - 1])),
            windows={split: int(counts[split][number]) for split in SPLITS},
        )
        for number in picked(len(plan.series), most)
    )


def _reads(
    snapshot: Snapshot, plan: Plan, columns: Sequence[str], row_bytes: int, ranks: int, memory_mib: int
) -> Reads:
    budget = (memory_mib << 20) - rank_bytes(plan, "validation", ranks, row_bytes)
    layout = layout_of(plan, "train", row_bytes=row_bytes, budget_bytes=budget, ranks=ranks)
    per_row, sampled, sorting = _measured(snapshot, plan, columns)
    reading = layout.reading
    return Reads(
        layout=layout.kind,
        said=SAID[layout.kind],
        ranks=ranks,
        memory_mib=memory_mib,
        row_groups=reading.row_groups,
        halo=layout.halo,
        amplification=reading.amplification,
        amplification_without_memory=reading.worst,
        bytes_per_row=per_row,
        sampled=sampled,
        sorted_as_read=sorting,
        bytes_per_epoch=round(ranks * reading.rows * per_row * reading.amplification),
        saved_if_sorted=layout.saving,
    )


def _measured(snapshot: Snapshot, plan: Plan, columns: Sequence[str]) -> tuple[float, int, float | None]:
    """Stored bytes by row of the columns that windows need, on how many row groups they were measured, and
    how many times as long it takes to read these sorted; None: they need not be."""
    groups = np.flatnonzero(plan.pieces.group_rows)
    chosen = np.unique(groups[np.linspace(0, len(groups) - 1, min(_SAMPLED, len(groups))).astype(int)])
    wanted = [it for it in dict.fromkeys([*columns, plan.keys.time]) if it in snapshot.schema.names]

    def read(of: Snapshot) -> tuple[float, int]:
        """Seconds, and stored bytes."""
        before, began = of.traffic.needed, time.perf_counter()
        for group in chosen.tolist():
            file, number = plan.pieces.row_group(group)
            of.read(of.files[file], number, wanted)
        return time.perf_counter() - began, of.traffic.needed - before

    rows = int(plan.pieces.group_rows[chosen].sum())
    _, stored = read(snapshot)
    if not plan.keys.sorts:
        return stored / rows, len(chosen), None
    plain, _ = read(snapshot)  # once more, now that the files are open
    took, stored = read(in_order(snapshot, plan.keys))
    return stored / rows, len(chosen), took / plain


def _memory(plan: Plan, row_bytes: int, ranks: int, memory_mib: int) -> tuple[Memory, ...]:
    found = []
    for count in sorted({ranks, *(it for it in _RANKS if it <= plan.order.lanes)}):
        held = [rank_bytes(plan, split, count, row_bytes) for split in SPLITS if split != "test"]
        size = sum(held)
        found.append(Memory(ranks=count, bytes=size, fits=size <= memory_mib << 20))
    return tuple(found)


def _duration(plan: Plan, length: int) -> str:
    if plan.keys.ordinal:
        return f"{length:,}"
    seconds = length / 1e6
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
