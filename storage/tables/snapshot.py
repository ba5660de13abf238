"""Read a pinned snapshot file by file. Both formats are read by this code; they differ in their metadata.

A format hands over its columns and, for each file, where it is, which rows are deleted, and values that
stand in the metadata instead of the file. The rest is the same: open the file once, fetch the column
chunks asked for, drop deleted rows, give names and types.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.disk_cache import DiskCache
from storage.tables import positions
from storage.tables.columns import Column, find, schema_of
from storage.tables.errors import SnapshotDamaged, UnsupportedTable
from storage.tables.orc import OrcSource
from storage.tables.parquet import ParquetSource
from storage.tables.projection import absent, constant, convert, find_in_file
from storage.tables.protocol import DataFile, Snapshot, Traffic
from storage.tables.ranged import Meter, Place

_OPEN_FILES = 512
_DELETES = 256
"""How many footers and how many files' deleted positions are kept in memory."""
_FOOTER_BYTES = 32 << 20
"""What all footers may take that are kept, about: those of files with many row groups or columns are long."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Source(Protocol):
    """A file of any file format."""

    fields: tuple[pa.Field, ...]
    row_groups: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """What it takes in memory as long as it is open, about."""

    def read(self, row_group: int, positions: Sequence[int]) -> list[pa.ChunkedArray]:
        """Read top-level columns by position in `fields`."""

    def page_rows(self, row_group: int, positions: Sequence[int]) -> int | None:
        """Rows of the largest page among those columns; None: what is read in parts is fetched whole."""

    def read_rows(
        self, row_group: int, positions: Sequence[int], first: int, count: int
    ) -> list[pa.ChunkedArray]:
        """`read`, of rows [first, first + count) alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A data file as a format's metadata describes it."""

    file: DataFile
    place: Place
    kind: str
    """`parquet` or `orc`."""
    deleted: Callable[[], positions.Positions] | None = None
    """Fetches the deleted positions; None: no row is deleted."""
    constants: Mapping[str, object] = field(default_factory=dict)
    """By logical name: the column's value in every row (partition columns)."""
    constants_win: bool = False
    """Whether a constant beats what the file holds (Delta), or stands in for what it lacks (Iceberg)."""
    prepare: Callable[[Sequence[pa.Field]], Sequence[pa.Field]] | None = None
    """Gives field ids to the fields of a file that has none (Iceberg's name mapping)."""


class FileSnapshot:
    """A `protocol.Snapshot` over stored files."""

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the protocol's word
        table: str,
        format: str,  # noqa: A002
        created: datetime,
        columns: Sequence[Column],
        files: Sequence[StoredFile],
        by_id: bool,
        meter: Meter,
    ) -> None:
        self.id = id
        self.table = table
        self.format = format
        self.created = created
        self.schema = schema_of(columns)
        self.files = tuple(stored.file for stored in files)
        self._columns = tuple(columns)
        self._stored = {stored.file.identity: stored for stored in files}
        self._by_id = by_id
        self._meter = meter
        self._disk: DiskCache | None = None
        self._sources = _opened()
        self._deleted: _Cache[str, positions.Positions] = _Cache(_DELETES)

    def __repr__(self) -> str:
        return f"<{self.format} snapshot {self.id} of {self.table}: {len(self.files)} files>"

    def keep_on(self, disk: DiskCache) -> None:
        """From now on keep what is read of data files on this host's disk, and look there first."""
        self._disk = disk
        self._sources = _opened()  # those that are open know of none

    @property
    def traffic(self) -> Traffic:
        """What this object has read so far."""
        return self._meter.traffic

    def column_identity(self, column: str) -> str:
        """What `column` means inside the files, whatever it is called today."""
        return find(self._columns, column, self.table).identity

    def row_groups(self, file: DataFile) -> tuple[int, ...]:
        """Live rows of each row group of `file`."""
        stored = self._stored_of(file)
        groups = self._source(stored).row_groups
        starts = np.cumsum([0, *groups])
        gone = np.diff(np.searchsorted(self._deleted_of(stored), starts))
        return tuple(int(rows - deleted) for rows, deleted in zip(groups, gone, strict=True))

    def read(
        self, file: DataFile, row_group: int, columns: Sequence[str], rows: tuple[int, int] | None = None
    ) -> pa.Table:
        """Read the live rows of one row group, in file order; or those of [first, end) among them."""
        stored, source, wanted, fields, found = self._found(file, row_group, columns)
        start, count = sum(source.row_groups[:row_group]), source.row_groups[row_group]
        keep = positions.kept(self._deleted_of(stored), start, count)
        first, stop = (0, count) if rows is None else _stored_rows(keep, *rows)
        stand = sorted({position for position in found if position is not None})
        if not stand:
            read = {}
        elif (first, stop) == (0, count):
            read = dict(zip(stand, source.read(row_group, stand), strict=True))
        else:
            read = dict(zip(stand, source.read_rows(row_group, stand, first, stop - first), strict=True))
        live = stop - first if keep is None else int(keep[first:stop].sum())
        mask = None if keep is None else pa.array(keep[first:stop])
        arrays = []
        for column, position in zip(wanted, found, strict=True):
            if position is None:
                arrays.append(_missing(column, stored, live))
                continue
            values = read[position] if mask is None else read[position].filter(mask)
            arrays.append(convert(values, fields[position], column, by_id=self._by_id))
        return pa.Table.from_arrays(arrays, schema=schema_of(wanted))

    def page_rows(self, file: DataFile, row_group: int, columns: Sequence[str]) -> int | None:
        """Rows of the largest page of these columns; None: of a part of a row group all is fetched."""
        _, source, _, _, found = self._found(file, row_group, columns)
        stand = sorted({position for position in found if position is not None})
        return source.page_rows(row_group, stand) if stand else None

    def _found(
        self, file: DataFile, row_group: int, columns: Sequence[str]
    ) -> tuple[StoredFile, Source, list[Column], Sequence[pa.Field], list[int | None]]:
        """A file, its columns that are asked for, and where the file has them."""
        stored = self._stored_of(file)
        wanted = [find(self._columns, name, self.table) for name in columns]
        source = self._source(stored)
        if not 0 <= row_group < len(source.row_groups):
            raise IndexError(f"{file.path} has {len(source.row_groups)} row groups, none is {row_group}")
        fields = source.fields if stored.prepare is None else stored.prepare(source.fields)
        return stored, source, wanted, fields, [self._position(column, stored, fields) for column in wanted]

    def _position(self, column: Column, stored: StoredFile, fields: Sequence[pa.Field]) -> int | None:
        if stored.constants_win and column.name in stored.constants:
            return None
        return find_in_file(column, fields, by_id=self._by_id)

    def _stored_of(self, file: DataFile) -> StoredFile:
        try:
            return self._stored[file.identity]
        except KeyError:
            raise ValueError(f"{file.path} is no file of snapshot {self.id} of {self.table}") from None

    def _source(self, stored: StoredFile) -> Source:
        place = stored.place if self._disk is None else replace(stored.place, disk=self._disk)
        return self._sources.get(
            stored.file.identity, lambda: _open(replace(stored, place=place), len(self._deleted_of(stored)))
        )

    def _deleted_of(self, stored: StoredFile) -> positions.Positions:
        if stored.deleted is None:
            return positions.NONE
        return self._deleted.get(stored.file.identity, stored.deleted)


@runtime_checkable
class ReadsFiles(Protocol):
    """A snapshot of either format, or one that is made of it."""

    def keep_on(self, disk: DiskCache) -> None:
        """See `FileSnapshot.keep_on`."""


def keep_on(snapshot: Snapshot, disk: DiskCache) -> None:
    """`FileSnapshot.keep_on`, of any snapshot that reads files."""
    if not isinstance(snapshot, ReadsFiles):
        raise TypeError(f"{type(snapshot).__name__} does not read files, so nothing of it can be kept")
    snapshot.keep_on(disk)


def _open(stored: StoredFile, deleted: int) -> Source:
    if stored.kind == "parquet":
        source: Source = ParquetSource(stored.place)
    elif stored.kind == "orc":
        source = OrcSource(stored.place)
    else:
        raise UnsupportedTable(
            f"{stored.place.uri}: data files of the format {stored.kind} are not supported"
        )
    if sum(source.row_groups) - deleted != stored.file.rows:
        raise SnapshotDamaged(
            f"{stored.place.uri} holds {sum(source.row_groups)} rows, {deleted} of them deleted, but "
            f"{stored.place.snapshot} says that {stored.file.rows} are live"
        )
    return source


def _stored_rows(keep: npt.NDArray[np.bool_] | None, first: int, end: int) -> tuple[int, int]:
    """First and end of the stored rows that hold live rows [first, end)."""
    if keep is None or end <= first:
        return first, end
    live = np.flatnonzero(keep)
    return int(live[first]), int(live[end - 1]) + 1


def _missing(column: Column, stored: StoredFile, rows: int) -> pa.Array:
    if column.name not in stored.constants:
        return absent(column, rows)
    value = stored.constants[column.name]
    return pa.nulls(rows, column.type) if value is None else constant(value, column.type, rows)


def _opened() -> _Cache[str, Source]:
    return _Cache(_OPEN_FILES, _FOOTER_BYTES, lambda source: source.nbytes)


class _Cache(Generic[K, V]):
    """The last few results of something costly. Threads that miss at once may each compute it."""

    def __init__(self, size: int, room: int = 0, nbytes: Callable[[V], int] = lambda value: 0) -> None:
        """Keep `size` results at most, and no more than one where they take more than `room` bytes."""
        self._size, self._room, self._nbytes = size, room, nbytes
        self._lock = threading.Lock()
        self._held: OrderedDict[K, V] = OrderedDict()
        self._taken = 0

    def get(self, key: K, make: Callable[[], V]) -> V:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        value = make()
        with self._lock:
            if key in self._held:  # another thread's
                self._forget(key)
            self._held[key] = value
            self._taken += self._nbytes(value)
            while len(self._held) > self._size or (self._taken > self._room and len(self._held) > 1):
                self._forget(next(iter(self._held)))
        return value

    def _forget(self, key: K) -> None:
        self._taken -= self._nbytes(self._held.pop(key))
