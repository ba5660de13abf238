"""Write rows as Parquet files: in the order given, in row groups of a given size, zstd, with statistics.

Both formats write by this code; they differ in where a file goes and how a commit names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from storage.objects import Bucket
from storage.tables.ranged import split

ROW_GROUP_ROWS = 131_072
"""Rows of a row group unless the table's creator said otherwise."""
_FILE_BYTES = 128 << 20
"""Rows that take more memory than this start another file, at the end of a row group."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was uploaded and that no commit names yet."""

    location: str
    """`s3://bucket/key`, raw."""
    size: int
    metadata: pq.FileMetaData
    rows: pa.Table
    """What it holds."""


def write(
    rows: pa.Table, location: Callable[[int], str], bucket: Callable[[str], Bucket], row_group_rows: int
) -> list[Written]:
    """Upload `rows` as one or several files, none of them empty.

    Args:
        rows: as the files shall hold them; field ids in the schema are kept.
        location: `s3://bucket/key` of the n-th file.
        bucket: opens a bucket by name.
        row_group_rows: rows per row group.
    """
    written = []
    for number, part in enumerate(_parts(rows, row_group_rows)):
        sink = pa.BufferOutputStream()
        metadata = _encode(part, sink, row_group_rows)
        data = memoryview(sink.getvalue())
        where = location(number)
        name, key = split(where, "this append")
        bucket(name).put(key, data)
        written.append(Written(where, len(data), metadata, part))
    return written


def _parts(rows: pa.Table, row_group_rows: int) -> Iterator[pa.Table]:
    if not rows.num_rows:
        return
    groups = -(-rows.num_rows // row_group_rows)
    per_file = max(1, groups * _FILE_BYTES // max(rows.nbytes, 1))
    step = per_file * row_group_rows
    for start in range(0, rows.num_rows, step):
        yield rows.slice(start, step)


def _encode(rows: pa.Table, sink: pa.BufferOutputStream, row_group_rows: int) -> pq.FileMetaData:
    with pq.ParquetWriter(
        sink,
        rows.schema,
        version="2.6",
        compression="zstd",
        write_statistics=True,
        store_schema=False,  # other engines need only Parquet's own types
    ) as writer:
        writer.write_table(rows, row_group_size=row_group_rows)
    return writer.writer.metadata


def unbounded(metadata: pq.FileMetaData) -> set[str]:
    """Paths of the columns with bounds that no Python value holds, such as times after the year 9999."""
    found = set()
    for group in range(metadata.num_row_groups):
        for leaf in range(metadata.num_columns):
            column = metadata.row_group(group).column(leaf)
            if column.statistics is None or not column.statistics.has_min_max:
                continue
            try:
                _ = column.statistics.min, column.statistics.max
            except (OverflowError, ValueError):
                found.add(column.path_in_schema)
    return found
