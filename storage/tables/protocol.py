"""What every table format gives: snapshots that never change, files in order, rows without their deletes.

A *snapshot* is one immutable version of a table, pinned by its id; whatever is computed from a table names
the snapshot it read. Rows are addressed by (file, row group, row): files in the snapshot's own order, row
groups in file order, rows numbered after deletes are applied. The same snapshot gives the same addresses in
every process.

Names and types are the table's own (*logical*) ones, whatever a file calls its columns; a column that a file
does not have yet is null there, or has the default that the table declares for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

TIME_PROPERTY = "carousel.time"
"""A table's property: the column that orders the rows of a series."""
ENTITY_PROPERTY = "carousel.entity"
"""A table's property: the column that tells series apart; absent beside a time column: it is one series."""


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """Bounds of one column in one file, before deletes. None: unknown.

    Bounds hold every non-null value but may be wider than the values (strings are cut, deletes ignored).
    NaN is outside of them. Values are Python's: int, float, str, bool, date, Decimal, bytes, and datetime
    (aware, UTC, if the column is).
    """

    min: Any = None
    max: Any = None
    nulls: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFile:
    """One file of one snapshot."""

    identity: str
    """Names this content in every process: changes when the file's bytes or its deletes change. Not with the
    schema: a cache of columns by file also needs `Snapshot.column_identity`."""
    path: str
    """`s3://bucket/key`, the key raw (not percent-encoded); of a local table the absolute path."""
    rows: int
    """Live rows: deleted ones are not counted."""
    size: int
    """Bytes of the object."""
    statistics: Mapping[str, ColumnStatistics] = field(default_factory=dict, repr=False)
    """By logical column name, top-level columns only; a column without statistics is absent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotInfo:
    """One entry of a table's history."""

    id: str
    created: datetime
    """Aware, UTC."""
    rows: int | None
    """Rows of the table at this snapshot where the format records it, else None."""
    operation: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Appended:
    """The outcome of an append."""

    snapshot_id: str
    """The snapshot that holds the rows: the one this call made, or one that already held them (no rows: the
    newest)."""
    added: bool
    """False: nothing was added, because the transaction had landed before or has no rows."""
    rows: int
    """Rows given to this call."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes read from the bucket by one snapshot object so far: footers are counted in `fetched` only."""

    fetched: int
    """Bytes that came over the wire."""
    needed: int
    """Bytes of the column chunks that were asked for."""


class Snapshot(Protocol):
    """One immutable version of a table. All methods may be called from many threads at once."""

    @property
    def id(self) -> str:
        """What `Table.snapshot` takes.

        Delta: the version. Iceberg: the snapshot id, with `.<schema id>` where the table's schema has changed
        since it was committed; `empty` for a table without any snapshot.
        """

    @property
    def table(self) -> str:
        """The table's uri."""

    @property
    def format(self) -> str:
        """`delta` or `iceberg`."""

    @property
    def schema(self) -> pa.Schema:
        """Logical names and types; `read` gives exactly these types."""

    @property
    def created(self) -> datetime:
        """When it was committed; aware, UTC."""

    @property
    def files(self) -> tuple[DataFile, ...]:
        """Every file, in the snapshot's own order, which is the same in every process.

        Delta: by modification time, then path. Iceberg: by sequence number, then path. Without rewrites that
        is the order of the commits, as far as Delta's writers have clocks that agree.
        """

    @property
    def traffic(self) -> Traffic:
        """What this object has read so far."""

    def column_identity(self, column: str) -> str:
        """Name what `column` means inside the files, whatever it is called today.

        Two snapshots whose identities for a column agree read the same values under that name from the same
        `DataFile.identity`. A renamed, dropped and re-added, or widened column gets another one.

        Raises:
            NoSuchColumn: the schema has no such column.
        """

    def row_groups(self, file: DataFile) -> tuple[int, ...]:
        """Live rows of each row group of `file`; may be 0. Reads the file's footer the first time.

        Raises:
            SnapshotDamaged: the file is gone.
        """

    def read(
        self, file: DataFile, row_group: int, columns: Sequence[str], rows: tuple[int, int] | None = None
    ) -> pa.Table:
        """Read the live rows of one row group, in file order.

        Args:
            file: one of `files`.
            row_group: index into `row_groups(file)`.
            columns: logical names; the table comes back with exactly these, in this order.
            rows: first and end of those among them that are wanted; where the file has a page index, only
                pages that hold them are fetched. None: all.

        Raises:
            NoSuchColumn: a name that the schema does not have.
            SnapshotDamaged: the file is gone or cut short.
            UnsupportedTable: the file holds something that cannot be read faithfully.
        """

    def page_rows(self, file: DataFile, row_group: int, columns: Sequence[str]) -> int | None:
        """Rows of the largest page of these columns; None: with a part of a row group all of it is fetched.

        Raises as `read`.
        """


class Table(Protocol):
    """A table that can be appended to and pinned."""

    @property
    def uri(self) -> str:
        """Where it is, in the form that `open_table` takes."""

    @property
    def format(self) -> str:
        """`delta` or `iceberg`."""

    @property
    def schema(self) -> pa.Schema:
        """Logical names and types at the newest snapshot."""

    @property
    def properties(self) -> Mapping[str, str]:
        """What the table says of itself, by name, now; tables of other engines too.

        Ours: `TIME_PROPERTY` and `ENTITY_PROPERTY`, where the creator named these columns.
        """

    def append(self, rows: pa.Table, *, transaction: str) -> Appended:
        """Append `rows` exactly once for this transaction id, in the order given.

        A replay, later or at the same moment in another process, adds nothing. An append of no rows commits
        nothing and leaves its transaction id free.

        Args:
            rows: all the table's columns by name, in any order; a nullable column may be left out. Types
                must fit without loss.
            transaction: any text; the same text means the same rows.

        Raises:
            SchemaMismatch: a column is unknown, missing, of another type, or null where it must not be.
            CommitContention: other writers won every race; nothing was added.
        """

    def landed(self, transaction: str) -> bool:
        """Whether the rows of this transaction are in the table, as an append of them would find.

        Raises:
            UnsupportedTable: it cannot be appended to here.
        """

    def snapshot(self, snapshot_id: str | None = None, *, at: datetime | None = None) -> Snapshot:
        """Pin a snapshot: by id, as of a time, or (neither given) the newest.

        Raises:
            NoSuchSnapshot: there is none by that id or that early; the message names the range there is.
            UnsupportedTable: it uses a feature that would be read wrongly.
        """

    def snapshots(self) -> list[SnapshotInfo]:
        """List the history that can still be read, oldest first. Cost: one small read per Delta version."""
