"""Iceberg snapshots written by hand: files and manifest entries that no writer at hand makes."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestEntry, ManifestEntryStatus
from pyiceberg.typedef import Record

from storage.objects import Bucket
from storage.tables.protocol import Snapshot, Table

from .rows import read_all


@dataclass
class ByHand:
    """Files and manifest entries of a table that has one snapshot."""

    table: Table
    bucket: Bucket
    folder: str
    entries: list[ManifestEntry] = field(default_factory=list)

    def put(self, name: str, data: bytes) -> tuple[str, int]:
        self.bucket.put(f"{self.folder}/{name}", data)
        return f"s3://{self.bucket.name}/{self.folder}/{name}", len(data)

    def add(self, path: str, size: int, rows: int, *, sequence: int = 1, **more: Any) -> None:
        known = {"content": DataFileContent.DATA, "partition": Record()} | more
        known["file_format"] = FileFormat[known.get("file_format", "PARQUET")]
        data = DataFile.from_args(
            _table_format_version=3,
            file_path=path,
            file_size_in_bytes=size,
            record_count=rows,
            **known,
        )
        data.spec_id = 0
        self.entries.append(
            ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED, sequence_number=sequence, data_file=data
            )
        )

    def deletes(self, path: str, size: int, rows: int, **more: Any) -> None:
        self.add(path, size, rows, content=DataFileContent.POSITION_DELETES, **more)

    def snapshot(self) -> Snapshot:
        return self.table.snapshot()

    def numbers(self) -> list[int]:
        found: list[int] = read_all(self.snapshot()).column("n").to_pylist()
        return found


def parquet(table: pa.Table, **writer: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **writer)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def orc_file(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    orc.write_table(table, sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def position_deletes(*deleted: tuple[str, int]) -> pa.Table:
    paths, numbers = zip(*deleted, strict=True)
    return pa.table({"file_path": list(paths), "pos": pa.array(numbers, pa.int64())})
