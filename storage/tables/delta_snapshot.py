"""One version of a Delta table as a snapshot: its `add` actions become files to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import unquote

from storage.objects import Bucket
from storage.tables import positions
from storage.tables.columns import Column
from storage.tables.delta_log import KEPT_BY, REMOVED_BY, Action, State, vector_name
from storage.tables.delta_schema import columns_of, mapping_mode
from storage.tables.delta_values import DeltaStatistics, parse_statistics, partition_value
from storage.tables.errors import UnsupportedTable
from storage.tables.parquet import ParquetSource
from storage.tables.protocol import DataFile
from storage.tables.ranged import Meter, Place, split
from storage.tables.snapshot import FileSnapshot, StoredFile

_THREADS = 8


@dataclass(frozen=True, slots=True)
class _Reader:
    """What turns an action of this version into a file."""

    bucket: Bucket
    root: str
    columns: tuple[Column, ...]
    partitions: Mapping[str, Column]
    """By physical name."""
    needed_by: str
    meter: Meter

    def stored(self, add: Action) -> StoredFile:
        place = self.place(unquote(add["path"]), add["size"])
        parsed = parse_statistics(add.get("stats"))
        vector = add.get("deletionVector")
        deleted = vector["cardinality"] if vector else 0
        rows = parsed.get("numRecords")
        name = vector_name(add)
        file = DataFile(
            identity=f"{place.uri}|{add['size']}" + (f"|{name}" if name else ""),
            path=place.uri,
            rows=-1 if rows is None else int(rows) - deleted,
            size=add["size"],
            statistics=DeltaStatistics(self.columns, add.get("stats")),
        )
        values = add.get("partitionValues") or {}
        return StoredFile(
            file=file,
            place=place,
            kind="parquet",
            deleted=self.vector(vector) if vector else None,
            constants={
                column.name: partition_value(values.get(physical), column)
                for physical, column in self.partitions.items()
            },
            constants_win=True,
        )

    def place(self, path: str, size: int) -> Place:
        """Where a file is that the log names by a path under the table, or by its whole address."""
        if "://" in path:
            name, key = split(path, self.needed_by)
            bucket = self.bucket if name == self.bucket.name else Bucket(name, self.bucket.access)
            return Place(bucket, key, size, self.needed_by, self.meter, REMOVED_BY, KEPT_BY)
        if path.startswith("/") or path.startswith("file:"):
            raise UnsupportedTable(f"{self.needed_by} names a file outside of S3: {path}")
        key = f"{self.root}/{path}" if self.root else path
        return Place(self.bucket, key, size, self.needed_by, self.meter, REMOVED_BY, KEPT_BY)

    def vector(self, vector: Mapping[str, Any]) -> Callable[[], positions.Positions]:
        """Fetches and decodes a deletion vector."""
        kind, text, length = vector["storageType"], vector["pathOrInlineDv"], vector["sizeInBytes"]
        if kind == "i":
            return lambda: positions.bare(positions.from_z85(text)[:length], f"the log ({self.needed_by})")
        if kind not in ("u", "p"):
            raise UnsupportedTable(f"{self.needed_by} has a deletion vector of the unknown kind {kind!r}")
        offset = vector.get("offset") or 0
        path = positions.relative_path(text) if kind == "u" else unquote(text)
        place = self.place(path, offset + length + 8)
        return partial(_fetch_vector, place, offset, length)


def _fetch_vector(place: Place, offset: int, length: int) -> positions.Positions:
    return positions.framed(place.range(offset, length + 8), f"{place.uri} at byte {offset}")


def snapshot_of(state: State, bucket: Bucket, root: str, table: str, meter: Meter) -> FileSnapshot:
    """The snapshot of one version.

    Raises:
        UnsupportedTable: a type, a path or a deletion vector is of a kind that is not known here.
    """
    columns = columns_of(state.metadata["schemaString"], state.configuration)
    by_name = {column.name: column for column in columns}
    partitions = {by_name[name].physical: by_name[name] for name in state.metadata["partitionColumns"]}
    reader = _Reader(bucket, root, columns, partitions, f"version {state.version} of {table}", meter)
    files = [reader.stored(add) for add in state.files]
    return FileSnapshot(
        id=str(state.version),
        table=table,
        format="delta",
        created=state.created,
        columns=columns,
        files=_counted(files),
        by_id=mapping_mode(state.configuration) == "id",
        meter=meter,
    )


def _counted(files: Sequence[StoredFile]) -> list[StoredFile]:
    """Count the rows of files whose statistics lack it, from their footers."""
    if all(stored.file.rows >= 0 for stored in files):
        return list(files)
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(_count, files))


def _count(stored: StoredFile) -> StoredFile:
    if stored.file.rows >= 0:
        return stored
    deleted = 0 if stored.deleted is None else len(stored.deleted())
    rows = sum(ParquetSource(stored.place).row_groups) - deleted
    return replace(stored, file=replace(stored.file, rows=rows))
