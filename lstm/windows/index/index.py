"""Where every series' rows lie in a snapshot: a small record per piece, found by scanning its keys once.

A new snapshot scans only the files that it adds; the indexes of the others come from the cache.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm.windows.errors import EmptyTable, UnsortedTable
from lstm.windows.index.gathered import Share
from lstm.windows.index.grid import filled, gridded
from lstm.windows.index.grid_rows import Filling, as_read, below
from lstm.windows.index.index_cache import load_indexes
from lstm.windows.index.interval import most_usual, usual_step
from lstm.windows.index.missing import Missing, load_missing
from lstm.windows.index.read_group import read_group
from lstm.windows.index.runs import Entity
from lstm.windows.index.segments import Links, Pieces, link
from lstm.windows.index.untangle import untangled
from lstm.windows.table.column import Column, as_columns
from lstm.windows.table.keys import Keys, keys_for
from lstm.windows.table.sorted_rows import SortedRows, in_order
from storage.objects import Bucket
from storage.tables.protocol import Snapshot


@dataclass(frozen=True, slots=True)
class SequenceIndex:
    """The pieces of a snapshot, and what they were found by."""

    snapshot: Snapshot
    """As `keys` read it."""
    keys: Keys
    series: tuple[Entity, ...]
    """Entities in ascending order; a series' number is its place."""
    pieces: Pieces
    piece_regular: NDArray[np.bool_]
    """[n pieces] whether all steps inside a piece are equal, so that its times follow from its ends."""
    interval: int
    """The most usual time between neighbouring rows of a series, whatever pieces they lie in."""
    scanned: int
    """Files whose keys were read, since the cache did not know them."""
    links: Links
    """How the pieces follow each other."""
    columns: tuple[Column, ...] = ()
    """Those whose null policy needs to know where values are missing."""
    missing: Mapping[str, Missing] = field(default_factory=dict)
    """By name of these columns: where."""

    def group_times(self, group: int) -> NDArray[np.int64]:
        """[rows] times of one row group, read from the table."""
        return read_group(self.snapshot, self.keys, self.pieces, group)[1]

    def table_times(self, group: int) -> NDArray[np.int64]:
        """[rows] as `group_times`, without the rows that a grid adds."""
        return read_group(below(self.snapshot), self.keys, replace(self.pieces, stored=None), group)[1]

    def group_name(self, group: int) -> str:
        """A row group as people read it."""
        file, number = self.pieces.row_group(group)
        return f"row group {number} of {self.snapshot.files[file].path}"


def index_snapshot(
    snapshot: Snapshot,
    *,
    entity: str | None,
    time: str,
    max_gap: timedelta | int | None = None,
    grid: timedelta | int | None = None,
    columns: Sequence[str | Column] = (),
    cache: Bucket | None = None,
    cache_prefix: str = "indexes/",
    sort: bool = True,
) -> SequenceIndex:
    """Scan entity and time of every file that the cache does not know yet.

    Where the rows of a row group are not in order, all row groups are read through `SortedRows`; where rows
    of a series alternate between row groups, its pieces are `untangled`.

    Args:
        snapshot: what to index.
        entity: column that tells series apart; None: the table is one series.
        time: column that orders a series: timestamps, dates, or integers.
        max_gap: rows of a series further apart than this start a new segment (an integer where times are
            integers); None: a series is one segment whatever its gaps.
        grid: time between two rows of a series (an integer where times are integers), where rows between them
            may be missing: they are then read as rows without values, but for their keys and the column
            `observed`, which is false; gaps longer than `max_gap` stay. None: a series has the table's rows.
        columns: the features; those of another null policy than `mask` are read.
        cache: where the indexes of files are kept; see `index_cache`.
        cache_prefix: of their keys in `cache`.
        sort: False: leave both undone: row groups that are not sorted by entity and time are refused.

    Raises:
        WindowError: the columns or rows cannot serve; the subclass and message say why.
    """
    snapshot = below(snapshot)
    keys = keys_for(snapshot.schema, entity, time, max_gap, grid)
    if keys.grid is not None:
        gridded(snapshot.schema, keys)
    keys = replace(keys, sorts=isinstance(snapshot, SortedRows))
    scanned: set[int] = set()
    try:
        loaded = load_indexes(snapshot, keys, cache, cache_prefix, scanned)
    except UnsortedTable:
        if not sort:
            raise
        keys = replace(keys, sorts=True)
        snapshot = in_order(snapshot, keys)
        loaded = load_indexes(snapshot, keys, cache, cache_prefix, scanned)
    shares, found = loaded.shares, loaded.columns
    if not len(found["rows"]):
        raise EmptyTable(f"{snapshot.table} has no rows at snapshot {snapshot.id}; ingest some first")
    series, places = _number_series(shares)
    steps: Counter[int] = Counter()
    for share, place in zip(shares, places, strict=True):
        steps.update(share.steps)
        own = found["entity"][share.begin : share.end]
        own[:] = place[own]
    file_groups = np.concatenate([share.file_groups for share in shares])
    pieces = Pieces(
        group_file=np.repeat(np.arange(len(file_groups), dtype=np.int32), file_groups),
        group_number=_counted(file_groups),
        group_rows=np.concatenate([share.group_rows for share in shares]),
        series=found["entity"],
        rows=found["rows"],
        first_time=found["first_time"],
        last_time=found["last_time"],
    )
    regular = found["regular"]
    links = link(pieces, keys.max_gap)
    interval = usual_step(steps, pieces, links)
    if sort and len(links.late):
        cut = untangled(pieces, links, regular, lambda group: read_group(snapshot, keys, pieces, group)[1])
        if cut is not None:
            pieces, regular = cut.pieces, cut.regular
            interval, links = most_usual(cut.steps), link(pieces, keys.max_gap)
    if keys.grid is not None and not len(links.late):  # those that overlap are refused when a plan is made
        pieces, interval = filled(pieces, links, keys, series), keys.grid
        regular = np.ones(len(pieces), np.bool_)
        files = tuple(file.identity for file in snapshot.files)
        snapshot = as_read(snapshot, keys, Filling(keys, files, pieces))
    asked = tuple(column for column in as_columns(columns) if column.needs_index)
    return SequenceIndex(
        snapshot=snapshot,
        keys=keys,
        series=series,
        pieces=pieces,
        piece_regular=regular,
        interval=interval,
        scanned=len(scanned),
        links=links,
        columns=asked,
        missing=load_missing(snapshot, keys, pieces, asked, cache, cache_prefix),
    )


def _counted(lengths: NDArray[np.int64]) -> NDArray[np.int32]:
    """0, 1, … up to each length, one after the other."""
    starts = np.cumsum(lengths) - lengths
    return (np.arange(int(lengths.sum())) - np.repeat(starts, lengths)).astype(np.int32)


def _number_series(shares: Sequence[Share]) -> tuple[tuple[Entity, ...], list[NDArray[np.int32]]]:
    """All entities in ascending order, and for each share the number of each of its entities."""
    names: set[Any] = set()
    for share in shares:
        names.update(share.entities)
    series: tuple[Entity, ...] = (None,) if names == {None} else tuple(sorted(names))
    number = {name: place for place, name in enumerate(series)}
    return series, [np.array([number[name] for name in share.entities], np.int32) for share in shares]
