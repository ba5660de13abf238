"""Where every series' rows lie in a snapshot: a small record per piece, found by scanning its keys once.

A new snapshot scans only the files that it adds; the indexes of the others come from the cache.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm.windows.columns import Keys, keys_for, times_of
from lstm.windows.errors import EmptyTable
from lstm.windows.file_index import FileIndex, cache_name, scan
from lstm.windows.runs import Entity
from lstm.windows.segments import Pieces
from storage.objects import Bucket, NotFound
from storage.tables.protocol import DataFile, Snapshot

_THREADS = 8
"""Files scanned at once: requests wait more than they compute."""


@dataclass(frozen=True, slots=True)
class SequenceIndex:
    """The pieces of a snapshot, and what they were found by."""

    snapshot: Snapshot
    keys: Keys
    series: tuple[Entity, ...]
    """Entities in ascending order; a series' number is its place."""
    pieces: Pieces
    piece_regular: NDArray[np.bool_]
    """[n pieces] whether all steps inside a piece are equal, so that its times follow from its ends."""
    interval: int
    """The most usual time between neighbouring rows of a series."""
    scanned: int
    """Files that the cache did not know."""

    def group_times(self, group: int) -> NDArray[np.int64]:
        """[rows] times of one row group, read from the table."""
        file = self.snapshot.files[self.pieces.group_file[group]]
        table = self.snapshot.read(file, int(self.pieces.group_number[group]), [self.keys.time])
        return times_of(table.column(self.keys.time), self.keys.time)

    def group_name(self, group: int) -> str:
        """A row group as people read it."""
        path = self.snapshot.files[self.pieces.group_file[group]].path
        return f"row group {self.pieces.group_number[group]} of {path}"


def index_snapshot(
    snapshot: Snapshot,
    *,
    entity: str | None,
    time: str,
    max_gap: timedelta | int | None = None,
    cache: Bucket | None = None,
    cache_prefix: str = "indexes/",
) -> SequenceIndex:
    """Scan entity and time of every file that the cache does not know yet.

    Args:
        snapshot: what to index.
        entity: column that tells series apart; None: the table is one series.
        time: column that orders a series: timestamps, dates, or integers.
        max_gap: rows of a series further apart than this start a new segment (an integer where times are
            integers); None: a series is one segment whatever its gaps.
        cache: where the indexes of files are kept.
        cache_prefix: of their keys in `cache`.

    Raises:
        WindowError: the columns or rows cannot serve; the subclass and message say why.
    """
    keys = keys_for(snapshot.schema, entity, time, max_gap)
    found: list[tuple[FileIndex, bool]]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="index") as pool:
        futures = [pool.submit(_file_index, snapshot, f, keys, cache, cache_prefix) for f in snapshot.files]
        try:
            found = [future.result() for future in futures]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    indexes = [index for index, _ in found]
    if not sum(len(index.rows) for index in indexes):
        raise EmptyTable(f"{snapshot.table} has no rows at snapshot {snapshot.id}; ingest some first")
    series, places = _number_series(indexes)
    steps: Counter[int] = Counter()
    for index in indexes:
        steps.update(index.steps)
    group_counts = [len(index.group_rows) for index in indexes]
    return SequenceIndex(
        snapshot=snapshot,
        keys=keys,
        series=series,
        pieces=Pieces(
            group_file=np.repeat(np.arange(len(indexes), dtype=np.int32), group_counts),
            group_number=np.concatenate([np.arange(n, dtype=np.int32) for n in group_counts]),
            group_rows=np.concatenate([index.group_rows for index in indexes]),
            series=np.concatenate(
                [place[index.entity] for place, index in zip(places, indexes, strict=True)]
            ),
            rows=np.concatenate([index.rows for index in indexes]),
            first_time=np.concatenate([index.first_time for index in indexes]),
            last_time=np.concatenate([index.last_time for index in indexes]),
        ),
        piece_regular=np.concatenate([index.regular for index in indexes]),
        interval=max(steps, key=lambda step: (steps[step], -step)) if steps else 1,
        scanned=sum(was_scanned for _, was_scanned in found),
    )


def _file_index(
    snapshot: Snapshot, file: DataFile, keys: Keys, cache: Bucket | None, prefix: str
) -> tuple[FileIndex, bool]:
    """The index of a file, and whether it had to be scanned."""
    if cache is None:
        return scan(snapshot, file, keys), True
    name = prefix + cache_name(snapshot, file, keys)
    try:
        return FileIndex.from_bytes(cache.get(name).data), False
    except (NotFound, ValueError):  # absent, or damaged: scanning gives the same index again
        index = scan(snapshot, file, keys)
    cache.put(name, index.to_bytes())
    return index, True


def _number_series(indexes: Sequence[FileIndex]) -> tuple[tuple[Entity, ...], list[NDArray[np.int32]]]:
    """All entities in ascending order, and for each file the number of each of its entities."""
    names: set[Any] = set()
    for index in indexes:
        names.update(index.entities)
    series: tuple[Entity, ...] = (None,) if names == {None} else tuple(sorted(names))
    number = {name: place for place, name in enumerate(series)}
    return series, [np.array([number[name] for name in index.entities], np.int32) for index in indexes]
