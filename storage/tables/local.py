"""Tables in a folder of this machine, to read only: Delta by its log, Iceberg by its newest metadata file.

A folder has no conditional put and knows no catalog, so nothing is appended here. `open_table` never comes
here: whoever may name tables to a server may not thereby read that server's files.
"""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

from storage.local_files import LocalFiles
from storage.tables.delta import DeltaTable
from storage.tables.errors import TableMissing, UnsupportedTable
from storage.tables.protocol import Appended, Table


class LocalDeltaTable(DeltaTable):
    """A Delta table in a local folder."""

    def __init__(self, folder: Path) -> None:
        self.uri = str(folder)
        self._root = self.uri.removeprefix("/")
        self._bucket = LocalFiles()
        self._log()  # fails at once if there is no table

    def append(self, rows: pa.Table, *, transaction: str) -> Appended:
        """Refused.

        Raises:
            UnsupportedTable: always.
        """
        raise self._only_read()

    def landed(self, transaction: str) -> bool:
        """Refused, as `append`."""
        raise self._only_read()

    def _only_read(self) -> UnsupportedTable:
        return UnsupportedTable(
            f"{self.uri} is a local folder, which is only read; append to a table in a bucket"
        )


def is_path(text: str) -> bool:
    """Whether it names a place of this machine: `/some/folder`, `./folder`, `~/folder`, `.`."""
    return "://" not in text and (os.sep in text or text in (".", "..", "~"))


def open_local(folder: str | Path) -> Table:
    """Open the table in a folder, or of one `….metadata.json`, to read only.

    Raises:
        TableMissing: there is none.
    """
    place = Path(folder).expanduser().resolve()
    if not place.exists():
        raise TableMissing(
            f"there is no folder {place}; name the folder of a Delta or Iceberg table, or s3://bucket/key"
        )
    if not (place / "_delta_log").is_dir() and (place.is_file() or (place / "metadata").is_dir()):
        from storage.tables.iceberg_local import LocalIcebergTable  # here: the library takes a second

        return LocalIcebergTable(place)
    try:
        return LocalDeltaTable(place)
    except TableMissing as error:
        raise TableMissing(
            f"{place} holds no Delta table (no _delta_log) and no Iceberg table (no metadata)"
        ) from error
