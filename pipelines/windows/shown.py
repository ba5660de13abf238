"""An inspection as tables for a terminal."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from lstm.windows import SPLITS
from pipelines.display.names import shown
from pipelines.display.progress import megabytes
from pipelines.windows.inspection import Inspection, Memory, SeriesLine

_WORTH_TELLING = 0.05


def lines(found: Inspection) -> Iterable[str | Table]:
    """What a person reads, from the whole to the parts."""
    yield f"{found.table}, snapshot {found.snapshot}; plan {found.plan_id[:12]}"
    yield (
        f"windows of {found.context} + {found.horizon} rows, one beginning at every {_nth(found.stride)}row, "
        f"of {_listed(found.columns)}"
    )
    yield ""
    yield _facts(found)
    yield ""
    yield _splits(found)
    if dropped := sum(line.dropped for line in found.splits.values()):
        yield f"{dropped:,} further windows are left out: they hold missing values of columns that drop them"
    yield ""
    yield _series(found)
    yield ""
    yield _memory(found.memory, found.reads.memory_mib)
    yield from _advice(found)


def _facts(found: Inspection) -> Table:
    table = Table.grid(padding=(0, 3))
    reads = found.reads
    gaps = (
        "never cut (no max_gap)"
        if found.max_gap is None
        else f"{found.gaps:,} gaps of more than {found.max_gap}"
    )
    many = "rank" if reads.ranks == 1 else f"each of {reads.ranks} ranks"
    rows = [
        ("series", f"{found.series:,}: {found.rows:,} rows, one every {found.interval}"),
        *_grid(found),
        ("time", f"{found.first} to {found.last}"),
        ("segments", f"{found.segments:,}; {gaps}"),
        ("layout", f"{reads.said}; {_count(found.row_groups, 'row group')} in {_count(found.files, 'file')}"),
        *_sorting(reads.sorted_as_read),
        (
            "order",
            f"{found.superblocks:,} superblocks in {found.lanes} lanes, pools of {found.pool}; a block is "
            f"{reads.halo:.2f} times its superblock (1 + halo ÷ superblock)",
        ),
        (
            "an epoch",
            f"fetches about {megabytes(reads.bytes_per_epoch)}; read amplification {reads.amplification:.2f} "
            f"with {reads.memory_mib} MiB on {many}, {reads.amplification_without_memory:.2f} if no row "
            "group could be kept",
        ),
        (
            "",
            f"({reads.bytes_per_row:.1f} stored bytes a row, measured on {reads.sampled} row groups)",
        ),
    ]
    for name, value in rows:
        table.add_row(name, value)
    return table


def _grid(found: Inspection) -> Iterable[tuple[str, str]]:
    if found.grid is not None:
        yield (
            "grid",
            f"of {found.grid}: {found.rows - found.filled:,} rows stand in the table, and {found.filled:,} "
            f"({found.filled / found.rows:.1%}) that it lacks are added without values",
        )


def _sorting(times: float | None) -> Iterable[tuple[str, str]]:
    if times is not None:
        yield (
            "",
            "rows are not sorted by entity and time inside row groups, so each is sorted when it is read: "
            f"{times:.1f} times the time of reading, which a table written in that order saves",
        )


def _splits(found: Inspection) -> Table:
    table = Table("split", "windows", "series with any", "horizons from", "to before", box=None)
    for column in (1, 2):
        table.columns[column].justify = "right"
    for split, line in found.splits.items():
        table.add_row(
            split,
            f"{line.windows:,}",
            f"{line.series:,}",
            line.horizons_from or "the first row",
            line.horizons_before or "the end",
        )
    return table


def _series(found: Inspection) -> Table:
    left_out = found.series - len(found.by_series)
    title = "series" if not left_out else f"series ({left_out:,} of {found.series:,} left out)"
    table = Table(title, "rows", "segments", *SPLITS, "first", "last", box=None)
    for column in range(1, 6):
        table.columns[column].justify = "right"
    for place, line in enumerate(found.by_series):
        if left_out and place == len(found.by_series) // 2:
            table.add_row("…")
        table.add_row(*_cells(line))
    return table


def _cells(line: SeriesLine) -> list[str]:
    counts = [f"{line.windows[split]:,}" for split in SPLITS]
    return [shown(line.name), f"{line.rows:,}", f"{line.segments:,}", *counts, line.first, line.last]


def _memory(memory: Sequence[Memory], memory_mib: int) -> Table:
    table = Table("ranks", "blocks on each", f"within {memory_mib} MiB", box=None)
    table.columns[0].justify = table.columns[1].justify = "right"
    for line in memory:
        table.add_row(str(line.ranks), megabytes(line.bytes), "fits" if line.fits else "does not fit")
    return table


def _advice(found: Inspection) -> Iterable[str]:
    reads = found.reads
    if reads.saved_if_sorted > _WORTH_TELLING and reads.layout != "sorted":
        yield ""
        yield (
            f"Sorted by entity and time, the table would save {reads.saved_if_sorted:.0%} of what an epoch "
            f"fetches ({megabytes(reads.saved_if_sorted * reads.bytes_per_epoch)}): have the engine "
            "that writes it sort it, or `carousel tables cluster` write its rows into another one."
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _nth(stride: int) -> str:
    return "" if stride == 1 else f"{stride}th "


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(shown(name) for name in columns)
