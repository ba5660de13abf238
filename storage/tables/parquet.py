"""Read row groups of a Parquet file: only the column chunks that are asked for come over the wire.

Of some rows of a row group only the pages come that hold them, where the file has a page index.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.tables.errors import SnapshotDamaged, UnsupportedTable
from storage.tables.footer import Footer
from storage.tables.pages import PageIndex, Pages, Span
from storage.tables.ranged import Place, RangedFile
from storage.tables.thrift import BadThrift

_TAIL = 64 << 10
"""Bytes from the end that hold most footers whole, so that one request does."""
_SMALL = 128 << 10
"""Files up to so many bytes are read whole together with their footer: one request, where two take longer."""


class ParquetSource:
    """An opened file: its footer is here, its data are not. Safe to share between threads."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._whole = place.range(0, place.size) if 0 < place.size <= _SMALL else None
        """Of a small file, until its first row group is read."""
        self._footer = _parsed(place, _read_footer(place, self._whole))
        self._page_index = PageIndex(place, self._footer)
        schema = self._open(place, self._footer.first).schema_arrow
        self.fields: tuple[pa.Field, ...] = tuple(schema)
        self.row_groups = self._footer.row_groups
        """Rows of each row group, deleted ones included."""
        ends = [0]
        for field in self.fields:
            ends.append(ends[-1] + leaves(field.type))
        self._leaves = [range(*pair) for pair in itertools.pairwise(ends)]
        if ends[-1] != self._footer.first.num_columns:
            raise UnsupportedTable(f"{place.uri} has a nested schema that does not map to Arrow's")

    @property
    def nbytes(self) -> int:
        """What it takes in memory as long as it is open, about."""
        return self._footer.nbytes

    def read(self, row_group: int, positions: Sequence[int]) -> list[pa.ChunkedArray]:
        """Read top-level columns, by their position in `fields`, in the order asked."""
        footer, number = self._of(row_group)
        group = footer.row_group(number)
        wanted = self._wanted(positions)
        chunks = [_chunk(group.column(leaf)) for leaf in wanted]
        self._place.meter.add(needed=sum(length for _, length in chunks))
        whole, self._whole = self._whole, None  # the next row group is fetched: sources stay open for long
        file = self._open(RangedFile(self._place, chunks, whole), footer)
        try:
            table = file.reader.read_row_group(number, column_indices=wanted, use_threads=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise _unreadable(self._place, error) from error
        return _in_order(table, positions)

    def page_rows(self, row_group: int, positions: Sequence[int]) -> int | None:
        """Rows of the largest page among top-level columns; None: the file has no page index."""
        pages = self._pages(row_group, self._wanted(positions))
        return None if pages is None else max(int(np.diff(it.first_row).max()) for it in pages.values())

    def read_rows(
        self, row_group: int, positions: Sequence[int], first: int, count: int
    ) -> list[pa.ChunkedArray]:
        """`read`, of rows [first, first + count) alone. Without a page index all are fetched for them."""
        pages = self._pages(row_group, self._wanted(positions)) if count else None
        if pages is None:
            return [column.slice(first, count) for column in self.read(row_group, positions)]
        rows = Span(first, first + count)
        together: dict[Span, list[int]] = {}
        for position in sorted(set(positions)):
            spans = {pages[leaf].span(rows) for leaf in self._leaves[position]}
            # leaves of a nested column are read together: where their pages differ, all pages are
            span = spans.pop() if len(spans) == 1 else Span(0, self.row_groups[row_group])
            together.setdefault(span, []).append(position)
        read: dict[int, pa.ChunkedArray] = {}
        for span, alike in together.items():
            columns = self._read_span(row_group, alike, pages, span)
            read |= dict(
                zip(alike, (column.slice(first - span.first, count) for column in columns), strict=True)
            )
        return [read[position] for position in positions]

    def _read_span(
        self, row_group: int, positions: Sequence[int], pages: Mapping[int, Pages], span: Span
    ) -> list[pa.ChunkedArray]:
        """Columns whose pages begin and end at `span`."""
        wanted = self._wanted(positions)
        footer, number = self._of(row_group)
        group = footer.row_group(number)
        needed = sum(group.column(leaf).total_compressed_size for leaf in wanted)
        self._place.meter.add(needed=round(needed * (span.end - span.first) / group.num_rows))
        try:
            content = self._page_index.file_of(row_group, {leaf: pages[leaf] for leaf in wanted}, span)
            file = pq.ParquetFile(
                pa.BufferReader(content), coerce_int96_timestamp_unit="us", pre_buffer=False
            )
            table = file.reader.read_row_group(0, column_indices=wanted, use_threads=False)
        except (BadThrift, pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise _unreadable(self._place, error) from error
        if table.num_rows != span.end - span.first:
            found = f"{table.num_rows} rows in pages of {span.end - span.first}"
            raise _unreadable(self._place, BadThrift(found))
        return _in_order(table, positions)

    def _pages(self, row_group: int, wanted: Sequence[int]) -> dict[int, Pages] | None:
        try:
            return self._page_index.of(row_group, wanted)
        except BadThrift as error:
            raise _unreadable(self._place, error) from error

    def _of(self, row_group: int) -> tuple[pq.FileMetaData, int]:
        """See `Footer.of`."""
        try:
            return self._footer.of(row_group)
        except _REFUSED as error:
            raise _unreadable(self._place, error) from error

    def _wanted(self, positions: Sequence[int]) -> list[int]:
        """Parquet's columns that hold top-level columns."""
        return sorted({leaf for position in positions for leaf in self._leaves[position]})

    def _open(self, source: Place | RangedFile, footer: pq.FileMetaData) -> pq.ParquetFile:
        file = RangedFile(source) if isinstance(source, Place) else source
        return pq.ParquetFile(
            pa.PythonFile(file, mode="r"),
            metadata=footer,
            coerce_int96_timestamp_unit="us",
            pre_buffer=False,
        )


_REFUSED = (ValueError, pa.ArrowNotImplementedError, OSError)
"""What Arrow raises of a footer that it cannot take; a name that is no text is a ValueError, too."""


def _in_order(table: pa.Table, positions: Sequence[int]) -> list[pa.ChunkedArray]:
    order = {position: column for column, position in enumerate(sorted(set(positions)))}
    return [table.column(order[position]) for position in positions]


def _read_footer(place: Place, whole: bytes | None) -> bytes:
    tail_length = place.size if whole is not None else min(_TAIL, place.size)
    tail = place.range(place.size - tail_length, tail_length) if whole is None else whole
    if tail[-4:] == b"PARE":
        raise UnsupportedTable(f"{place.uri} is encrypted (Parquet modular encryption)")
    if tail[-4:] != b"PAR1" or tail_length < 12:
        raise SnapshotDamaged(f"{place.uri}, which {place.snapshot} needs, is no Parquet file")
    (length,) = struct.unpack_from("<I", tail, len(tail) - 8)
    footer = length + 8
    if footer > place.size:
        raise SnapshotDamaged(f"{place.uri}, which {place.snapshot} needs, has no valid footer")
    if footer > len(tail):
        tail = place.range(place.size - footer, footer - len(tail)) + tail
    return tail[-footer:-8]


def _parsed(place: Place, footer: bytes) -> Footer:
    try:
        return Footer(footer)
    except _REFUSED as error:
        raise _unreadable(place, error) from error


def _unreadable(place: Place, error: Exception) -> SnapshotDamaged | UnsupportedTable:
    if isinstance(error, pa.ArrowNotImplementedError):
        return UnsupportedTable(f"{place.uri} uses something that Arrow cannot read: {error}")
    return SnapshotDamaged(f"{place.uri}, which {place.snapshot} needs, cannot be decoded: {error}")


def _chunk(column: pq.ColumnChunkMetaData) -> tuple[int, int]:
    start = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset is not None:
        start = min(start, column.dictionary_page_offset)
    return start, column.total_compressed_size


def leaves(type_: pa.DataType) -> int:
    """How many Parquet columns hold an Arrow type."""
    if pa.types.is_dictionary(type_):
        return leaves(type_.value_type)
    if isinstance(type_, pa.BaseExtensionType):
        return leaves(type_.storage_type)
    return sum(leaves(type_.field(i).type) for i in range(type_.num_fields)) or 1
