"""Iceberg tables in a folder of this machine, to read only, by their newest metadata file.

A table may have been written there, moved there, or copied from a bucket: what its metadata name below the
table's own location is looked for below the folder.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.table import Table

from storage.local_files import LocalFiles, ReadOnly
from storage.object_access import Access
from storage.objects import Bucket
from storage.tables.errors import UnsupportedTable
from storage.tables.iceberg import IcebergTable
from storage.tables.iceberg_io import BucketInput
from storage.tables.iceberg_open import newest_metadata, static_table

_REASON = "it lies in a local folder, which is only read; append to a table in a bucket"


class LocalIcebergTable(IcebergTable):
    """An Iceberg table in a local folder."""

    def __init__(self, place: Path) -> None:
        """Open the table of a folder, or of one `….metadata.json` in its `metadata`.

        Raises:
            TableMissing: there are no metadata.
            UnsupportedTable: they cannot be read, or name files that do not lie on this machine.
        """
        self._folder = place.parent.parent if place.is_file() else place
        super().__init__(str(place), Access(), partial(self._static, place), read_only=_REASON)

    def _static(self, place: Path) -> Table:
        files = LocalFiles()
        path = str(place) if place.is_file() else newest_metadata(files, str(place).removeprefix("/"))
        reader = _LocalIO(self._folder)
        table = static_table(reader, path)
        reader.location = table.metadata.location
        return table

    def _locate(self, table: Table, location: str, needed_by: str) -> tuple[Bucket, str]:
        path = path_of(location, table.metadata.location, self._folder, needed_by)
        return LocalFiles(), path.removeprefix("/")


def path_of(location: str, table: str, folder: Path, needed_by: str) -> str:
    """Where a file lies that a table's metadata name.

    Args:
        location: as it is named there.
        table: the table's own location as they name it; empty: not known yet.
        folder: where the table lies.
        needed_by: who needs it, for messages.

    Raises:
        UnsupportedTable: not on this machine, or outside of the folder though named below the table.
    """
    root = table.rstrip("/") + "/"
    if table and location.startswith(root):
        path = os.path.normpath(folder / location.removeprefix(root))
        if Path(path).is_relative_to(folder):
            return path
    elif location.startswith(("/", "file:")):
        return os.path.normpath("/" + location.removeprefix("file:").lstrip("/"))
    raise UnsupportedTable(
        f"{needed_by} names a file that does not lie in {folder}: {location}; copy the whole table there, or "
        "open it where it lies"
    )


class _LocalIO(FileIO):
    """pyiceberg's access to files of this machine, to read only."""

    def __init__(self, folder: Path) -> None:
        super().__init__({})
        self._folder, self.location = folder, ""

    def new_input(self, location: str) -> InputFile:
        path = path_of(location, self.location, self._folder, "the table's metadata")
        return BucketInput(location, LocalFiles(), path.removeprefix("/"))

    def new_output(self, location: str) -> OutputFile:
        raise ReadOnly(f"{location} is in a local folder, which is only read")

    def delete(self, location: str | InputFile | OutputFile) -> None:
        raise ReadOnly("files of a local folder are only read")
