"""A table with a row per sequence, read as if every element of a sequence were a row.

An `UnnestedSnapshot` stands between the table and all that makes windows. Elements are numbered from 0 in
each sequence, in a column of their own that serves as time; the other columns are the same in all rows of a
sequence.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lstm.windows.errors import DuplicateRows, MissingColumn
from lstm.windows.table.columns import column_type, is_text
from lstm.windows.table.recordings import Fetch, Recordings
from lstm.windows.table.sequences import Sequences
from lstm.windows.table.snapshot_view import SnapshotView
from storage.tables.protocol import DataFile, Snapshot, Traffic

_LENGTHS_KEPT = 256
"""Row groups whose sequences' lengths are remembered, 8 bytes each, since keys are read without them."""


class UnnestedSnapshot(SnapshotView):
    """A snapshot with a row for every element of every sequence. Row groups are the table's own.

    A row group's sequences are read and decoded whole, also where only a part of their elements is wanted.
    `files` count sequences; recordings in objects of their own are not kept on disk.
    """

    def __init__(self, snapshot: Snapshot, sequences: Sequences, entity: str, fetch: Fetch) -> None:
        """Read a table so.

        Args:
            snapshot: of the table.
            sequences: its column of sequences.
            entity: column that gives each sequence a name of its own.
            fetch: reads recordings that the table only points to.

        Raises:
            MissingColumn, WrongColumnType: the column cannot be what it is said to be.
        """
        super().__init__(snapshot)
        self._sequences, self._entity = sequences, entity
        stored = column_type(snapshot.schema, sequences.column)
        self._element = sequences.element(stored)
        if sequences.position in snapshot.schema.names:
            raise MissingColumn(
                f"the table has a column {sequences.position!r}, the name that is kept for the number of an "
                "element; rename it"
            )
        fields = [self._field(field) for field in snapshot.schema]
        self.schema = pa.schema([*fields, pa.field(sequences.position, pa.int64(), nullable=False)])
        """The elements in the place of the sequences, and their positions; text as dictionaries."""
        self._recordings: Recordings | None = None
        if sequences.rate is not None:
            self._recordings = Recordings(sequences.column, sequences.rate, sequences.channels, fetch)
        self._lock = threading.Lock()
        self._lengths: OrderedDict[tuple[str, int], NDArray[np.int64]] = OrderedDict()

    @property
    def traffic(self) -> Traffic:
        """What was read so far, recordings in objects of their own included."""
        own, apart = super().traffic, 0 if self._recordings is None else self._recordings.fetched
        return replace(own, fetched=own.fetched + apart, needed=own.needed + apart)

    def column_identity(self, column: str) -> str:
        """Name what a column means inside the files, and that its rows are elements."""
        of = self._sequences
        sequence = self._inner.column_identity(of.column)
        own = sequence if column in (of.column, of.position) else self._inner.column_identity(column)
        what = "position" if column == of.position else "element" if column == of.column else "of"
        return f"{what}:{of.kind}:{of.rate}:{of.channels}:{sequence}:{own}"

    def row_groups(self, file: DataFile) -> tuple[int, ...]:
        """Elements of each row group; reads the sequences for it."""
        groups = self._inner.row_groups(file)
        return tuple(int(self._lengths_of(file, group).sum()) for group in range(len(groups)))

    def read(
        self, file: DataFile, row_group: int, columns: Sequence[str], rows: tuple[int, int] | None = None
    ) -> pa.Table:
        """Read elements of one row group, in the order of its rows. Raises as the table's own `read`."""
        name, position = self._sequences.column, self._sequences.position
        plain = [it for it in columns if it not in (name, position)]
        wanted = [name, *plain] if name in columns else plain
        stored = self._inner.read(file, row_group, wanted) if wanted else None
        elements: pa.ChunkedArray[Any] | None = None
        if name in columns and stored is not None:
            elements, lengths = self._unnest(stored.column(name), file)
            self._remember(file, row_group, lengths)
        else:
            lengths = self._lengths_of(file, row_group)
        if stored is not None and self._entity in columns:
            self._check_names(stored.column(self._entity).filter(pa.array(lengths > 0)), file, row_group)
        first, end = (0, int(lengths.sum())) if rows is None else rows
        owner = np.repeat(np.arange(len(lengths)), lengths)[first:end]
        begins = np.cumsum(lengths) - lengths
        found: dict[str, Any] = {}
        for column in columns:
            if column == name:
                assert elements is not None
                found[column] = elements.slice(first, end - first)
            elif column == position:
                found[column] = np.arange(first, end) - begins[owner]
            else:
                assert stored is not None
                found[column] = self._cells(stored.column(column)).take(pa.array(owner))
        return pa.table(found, schema=pa.schema([self.schema.field(column) for column in columns]))

    def _field(self, field: pa.Field[Any]) -> pa.Field[Any]:
        if field.name == self._sequences.column:
            return field.with_type(self._element)
        return field.with_type(pa.dictionary(pa.int32(), field.type)) if is_text(field.type) else field

    def _cells(self, column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
        """Text by numbers that stand for it: a recording's name is there once, not for a million samples."""
        return column.combine_chunks().dictionary_encode() if is_text(column.type) else column

    def _lengths_of(self, file: DataFile, group: int) -> NDArray[np.int64]:
        with self._lock:
            known = self._lengths.get((file.identity, group))
        if known is not None:
            return known
        column = self._inner.read(file, group, [self._sequences.column]).column(self._sequences.column)
        if self._recordings is None:
            lengths = _list_lengths(column)
        else:
            lengths = self._recordings.lengths(column, file)
        self._remember(file, group, lengths)
        return lengths

    def _remember(self, file: DataFile, group: int, lengths: NDArray[np.int64]) -> None:
        with self._lock:
            self._lengths[file.identity, group] = lengths
            while len(self._lengths) > _LENGTHS_KEPT:
                self._lengths.popitem(last=False)

    def _check_names(self, names: pa.ChunkedArray[Any], file: DataFile, group: int) -> None:
        counts = pc.value_counts(names)
        if len(counts) < len(names):
            twice = counts.filter(pc.greater(counts.field(1), 1))[0].as_py()
            raise DuplicateRows(
                f"row group {group} of {file.path} holds {twice['counts']} sequences that column "
                f"{self._entity!r} calls {twice['values']!r}; name each sequence once, or choose another "
                "column for entity"
            )

    def _unnest(
        self, column: pa.ChunkedArray[Any], file: DataFile
    ) -> tuple[pa.ChunkedArray[Any], NDArray[np.int64]]:
        """All elements of a column's cells, one after the other, and how many each cell has."""
        if self._recordings is None:
            flat = pc.list_flatten(column)
            return flat.cast(self._element), _list_lengths(column)
        samples, lengths = self._recordings.decode(column, file)
        flat = pa.array(samples.reshape(-1))
        if self._sequences.channels > 1:
            flat = pa.FixedSizeListArray.from_arrays(flat, self._sequences.channels)
        return pa.chunked_array([flat]), lengths


def _list_lengths(column: pa.ChunkedArray[Any]) -> NDArray[np.int64]:
    """[n] elements of each list; 0 of a null."""
    lengths = np.asarray(pc.list_value_length(column).fill_null(0).to_numpy(), np.int64)
    return np.where(np.asarray(column.is_valid().to_numpy()), lengths, 0)
