"""A snapshot seen in another way: the base of what stands between a table and all that makes windows."""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from storage.disk_cache import DiskCache
from storage.tables.protocol import DataFile, Snapshot, Traffic
from storage.tables.snapshot import keep_on


class SnapshotView:
    """What a view has of the snapshot below it. How rows are read and what columns mean is the view's own."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._inner = snapshot
        self.schema: pa.Schema = snapshot.schema
        """Names and types as the view reads them."""

    @property
    def id(self) -> str:
        """The table's."""
        return self._inner.id

    @property
    def table(self) -> str:
        """The table's uri."""
        return self._inner.table

    @property
    def format(self) -> str:
        """The table's."""
        return self._inner.format

    @property
    def created(self) -> datetime:
        """When the snapshot was committed."""
        return self._inner.created

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The table's."""
        return self._inner.files

    @property
    def traffic(self) -> Traffic:
        """What was read so far."""
        return self._inner.traffic

    def page_rows(self, file: DataFile, row_group: int, columns: Sequence[str]) -> int | None:
        """None: a view needs whole row groups to make its rows of."""
        del file, row_group, columns
        return None

    def keep_on(self, disk: DiskCache) -> None:
        """Keep what is read of data files on this host's disk."""
        keep_on(self._inner, disk)
