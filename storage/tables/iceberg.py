"""Iceberg tables: pinned snapshots are read from the metadata, appends are committed exactly once.

A transaction id is looked for in the very metadata that the commit replaces, and the catalog lets the commit
pass only if the main branch is still where those metadata say. A data file is uploaded once, and stays
behind unnamed if another replay wins.

A snapshot's id is the number that Iceberg gave it; `<number>.<schema>` if the table's schema has changed
since and this one is read with the schema of that id; `empty` for a table without snapshots.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pyarrow as pa
import requests
from pyiceberg.exceptions import CommitFailedException, RESTError
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot as Entry
from sqlalchemy.exc import SQLAlchemyError

from storage.objects import Access, Bucket, Unreachable
from storage.tables.columns import schema_of
from storage.tables.errors import CommitContention, NoSuchSnapshot, UnsupportedTable
from storage.tables.iceberg_commit import landed, lineage, refuse_writing, stage
from storage.tables.iceberg_plan import KEPT_BY, REMOVED_BY, plan
from storage.tables.iceberg_schema import columns_of, file_schema
from storage.tables.protocol import Appended, Snapshot, SnapshotInfo
from storage.tables.ranged import Meter, Place, split
from storage.tables.retry import attempts
from storage.tables.rows import fit
from storage.tables.snapshot import FileSnapshot
from storage.tables.snapshots import as_of
from storage.tables.writing import ROW_GROUP_ROWS, Written, write

ROW_GROUP_PROPERTY = "carousel.row-group-rows"
EMPTY = "empty"
_ID = re.compile(r"(\d{1,19})(?:\.(\d{1,9}))?")
_UNKNOWN_OUTCOMES = 3
"""Commits in a row that failed for another reason than a lost race, before that reason is raised."""


class IcebergTable:
    """A `protocol.Table` over Iceberg metadata."""

    format = "iceberg"

    def __init__(self, uri: str, access: Access, load: Callable[[], Table], *, read_only: str = "") -> None:
        """Open a table.

        Args:
            uri: as the user wrote it.
            access: to the buckets of its files.
            load: gives the table's newest metadata.
            read_only: why it cannot be appended to; empty: it can.
        """
        self.uri = uri
        self._access = access
        self._load = load
        self._read_only = read_only
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()
        self._load()  # fails at once if there is no table

    def __repr__(self) -> str:
        return f"<Iceberg table {self.uri}>"

    @property
    def schema(self) -> pa.Schema:
        """Logical names and types now."""
        return schema_of(columns_of(self._load().metadata.schema()))

    @property
    def properties(self) -> Mapping[str, str]:
        """The table's properties now."""
        return self._load().metadata.properties

    def snapshot(self, snapshot_id: str | None = None, *, at: datetime | None = None) -> Snapshot:
        """Pin a snapshot: by id, as of a time, or the newest of the main branch."""
        table = self._load()
        metadata = table.metadata
        if at is not None:
            snapshot_id = as_of(self.uri, snapshot_id, at, _history(metadata)).id
        if snapshot_id is None:
            return self._pinned(table, metadata.current_snapshot(), metadata.schema())
        if snapshot_id == EMPTY:
            return self._pinned(table, None, metadata.schema())
        entry, schema = _find(metadata, snapshot_id, self.uri)
        return self._pinned(table, entry, schema)

    def snapshots(self) -> list[SnapshotInfo]:
        """The history of the main branch that has not expired, oldest first."""
        return _history(self._load().metadata)

    def append(self, rows: pa.Table, *, transaction: str) -> Appended:
        """Append `rows` exactly once for this transaction id."""
        if not transaction:
            raise ValueError("a transaction id must not be empty")
        self._check_writable()
        files: list[Written] | None = None
        ours: set[int] = set()
        failure: Exception | None = None
        unknown = 0
        for _ in attempts():
            table = self._load()
            found = landed(table.metadata, transaction)
            if found is not None:
                return Appended(snapshot_id=str(found), added=found in ours, rows=rows.num_rows)
            if unknown >= _UNKNOWN_OUTCOMES:
                raise Unreachable(
                    f"the append to {self.uri} failed, nothing was added: {failure}"
                ) from failure
            refuse_writing(table.metadata, self.uri)
            columns = columns_of(table.metadata.schema())
            fitted = fit(rows, columns, self.uri).cast(file_schema(columns))
            if not rows.num_rows:
                newest = table.metadata.current_snapshot_id
                return Appended(snapshot_id=EMPTY if newest is None else str(newest), added=False, rows=0)
            if files is None:
                files = self._upload(fitted, table)
            staged = stage(table, files, transaction)
            ours.add(staged.snapshot_id)
            try:
                staged.commit()
            except CommitFailedException as error:
                failure, unknown = error, 0
                continue
            except (RESTError, requests.RequestException, SQLAlchemyError) as error:
                failure, unknown = error, unknown + 1  # it may have landed all the same: the next turn looks
                continue
            return Appended(snapshot_id=str(staged.snapshot_id), added=True, rows=rows.num_rows)
        raise CommitContention(
            f"the append to {self.uri} lost every race against other writers; nothing was added, try again"
        ) from failure

    def landed(self, transaction: str) -> bool:
        """Whether the rows of this transaction are in the table."""
        self._check_writable()
        return landed(self._load().metadata, transaction) is not None

    def _check_writable(self) -> None:
        if self._read_only:
            raise UnsupportedTable(f"{self.uri} is read-only here: {self._read_only}")

    def _upload(self, rows: pa.Table, table: Table) -> list[Written]:
        batch = secrets.token_hex(8)
        places = table.location_provider()
        return write(
            rows,
            lambda number: places.new_data_location(f"part-{batch}-{number:05d}.zstd.parquet"),
            lambda name: Bucket(name, self._access),
            int(table.metadata.properties.get(ROW_GROUP_PROPERTY, ROW_GROUP_ROWS)),
        )

    def _locate(self, table: Table, location: str, needed_by: str) -> tuple[Bucket, str]:
        """Where a file lies that the metadata of `table` name."""
        name, key = split(location, needed_by)
        with self._lock:
            return self._buckets.setdefault(name, Bucket(name, self._access)), key

    def _pinned(self, table: Table, entry: Entry | None, schema: Schema) -> FileSnapshot:
        metadata, meter = table.metadata, Meter()
        if entry is None:
            identity, created, files = EMPTY, metadata.last_updated_ms, []
        else:
            number = str(entry.snapshot_id)
            own = entry.schema_id is None or entry.schema_id == schema.schema_id
            identity = number if own else f"{number}.{schema.schema_id}"
            created = entry.timestamp_ms
            needed_by = f"snapshot {number} of {self.uri}"

            def place(location: str, size: int) -> Place:
                bucket, key = self._locate(table, location, needed_by)
                return Place(bucket, key, size, needed_by, meter, REMOVED_BY, KEPT_BY)

            files = plan(metadata, entry, schema, table.io, place, needed_by)
        return FileSnapshot(
            id=identity,
            table=self.uri,
            format=self.format,
            created=_moment(created),
            columns=columns_of(schema),
            files=files,
            by_id=True,
            meter=meter,
        )


def _find(metadata: TableMetadata, snapshot_id: str, table: str) -> tuple[Entry, Schema]:
    """The snapshot of an id, and the schema to read it with.

    Raises:
        NoSuchSnapshot: it never was, or has expired.
    """
    match = _ID.fullmatch(snapshot_id)
    entry = metadata.snapshot_by_id(int(match[1])) if match else None
    if match is not None and entry is not None:
        wanted = int(match[2]) if match[2] else entry.schema_id
        schema = metadata.schema() if wanted is None else metadata.schema_by_id(wanted)
        if schema is not None:
            return entry, schema
    known = _history(metadata)
    have = (
        f"it has {len(known)}, from {known[0].id} of {known[0].created.isoformat()} to {known[-1].id} of "
        f"{known[-1].created.isoformat()}"
        if known
        else "it has none yet"
    )
    raise NoSuchSnapshot(f"{table} has no snapshot {snapshot_id!r} (any more): {have}")


def _history(metadata: TableMetadata) -> list[SnapshotInfo]:
    """The ancestors of the main branch's newest snapshot, and itself."""
    entries = []
    for entry in lineage(metadata):
        summary = entry.summary
        total = None if summary is None else summary.get("total-records")
        deleted = None if summary is None else summary.get("total-position-deletes")
        entries.append(
            SnapshotInfo(
                id=str(entry.snapshot_id),
                created=_moment(entry.timestamp_ms),
                rows=None if total is None else int(total) - int(deleted or 0),
                operation="unknown" if summary is None else summary.operation.value,
            )
        )
    return entries[::-1]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
