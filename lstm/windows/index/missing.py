"""Where a column has no value: runs of rows, found by reading the column of each file once.

Only columns whose null policy asks for it are read. Each file's runs are kept in the bucket, like its index;
a file costs one request, so 10^6 files cost as many: blocks of files are not made of these.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3
from numpy.typing import NDArray

from lstm.windows.arrays.packing import pack, unpack
from lstm.windows.arrays.sums import Sums
from lstm.windows.index.segments import Pieces
from lstm.windows.table.column import Column
from lstm.windows.table.column_types import check_columns
from lstm.windows.table.columns import features_of, list_value
from lstm.windows.table.keys import Keys
from storage.checkpoints.format.canonical import dumps
from storage.objects import Bucket, NotFound
from storage.tables.protocol import DataFile, Snapshot

FORMAT = 2
"""Changes whenever the same column would be described differently."""
_THREADS = 8
"""Requests at once: they wait more than they compute."""
_ROWS_AT_ONCE = 2**22
"""Rows that they decode together, some 110 MiB on a grid, unless one row group has more."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Where one column has no value, in one file or in a snapshot; rows are counted as they stand there."""

    first: NDArray[np.int64]
    """[k] first row of each run of rows without a value, ascending."""
    rows: NDArray[np.int64]
    """[k] rows of each run."""
    last: NDArray[np.float32]
    """[n pieces] last known value of each piece, NaN: it has none; empty where no policy fills."""

    @property
    def total(self) -> int:
        """Rows without a value."""
        return int(self.rows.sum())

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        runs = {"first": pack(self.first), "rows": pack(self.rows)}
        return dumps({"format": FORMAT, **runs, "last": pack(self.last)})

    @classmethod
    def from_bytes(cls, data: bytes, rows: int, pieces: int) -> Missing:
        """The inverse of `to_bytes`, for a file of so many live rows and pieces.

        Raises:
            ValueError: not of this format, or not of such a file.
        """
        try:
            values = json.loads(data)
            if values["format"] != FORMAT:
                raise ValueError(f"format {values['format']}, expected {FORMAT}")
            first, lengths = (unpack(values[name], np.int64) for name in ("first", "rows"))
            last = unpack(values["last"], np.float32)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no runs of missing values: {error!r}") from None
        ends = first + lengths
        tidy = len(first) == len(lengths) and np.all(lengths > 0) and np.all(first[1:] > ends[:-1])
        if not tidy or len(last) not in (0, pieces) or (len(first) and (first[0] < 0 or ends[-1] > rows)):
            raise ValueError("the runs of missing values are not those of the file")
        return cls(first, lengths, last)


def load_missing(
    snapshot: Snapshot,
    keys: Keys,
    pieces: Pieces,
    columns: Sequence[Column],
    cache: Bucket | None,
    prefix: str,
) -> dict[str, Missing]:
    """By name: where each column that a null policy asks about has no value in the snapshot.

    Raises:
        MissingColumn, WrongColumnType: a column cannot be what it is said to be.
    """
    wanted = [column for column in columns if column.needs_index]
    check_columns(snapshot.schema, wanted)
    if not wanted:
        return {}
    files = _Files(snapshot, keys, pieces, cache, prefix)
    threads = min(_THREADS, max(1, _ROWS_AT_ONCE // max(1, int(pieces.group_rows.max(initial=1)))))
    with ThreadPoolExecutor(threads, thread_name_prefix="missing") as pool:
        try:
            return {column.name: files.all_of(column, pool.map) for column in wanted}
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Files:
    def __init__(
        self, snapshot: Snapshot, keys: Keys, pieces: Pieces, cache: Bucket | None, prefix: str
    ) -> None:
        self._snapshot, self._keys, self._cache, self._prefix = snapshot, keys, cache, prefix
        self._group_rows, self._piece_rows = pieces.group_rows, pieces.rows
        files = np.arange(len(snapshot.files) + 1)
        self._groups = np.searchsorted(pieces.group_file, files)
        group_first = np.concatenate([[0], np.cumsum(pieces.group_rows)])
        self._rows = group_first[self._groups]
        self._pieces = Sums(pieces.rows).find(self._rows)

    def all_of(self, column: Column, each: Callable[..., Any]) -> Missing:
        """One column of all files, with the rows of the snapshot."""
        parts = list(each(lambda number: self._of(number, column), range(len(self._snapshot.files))))
        none = np.empty(0, np.int64)
        firsts = [part.first + begin for part, begin in zip(parts, self._rows[:-1].tolist(), strict=True)]
        return Missing(
            np.concatenate([none, *firsts]),
            np.concatenate([none, *(part.rows for part in parts)]),
            np.concatenate([np.empty(0, np.float32), *(part.last for part in parts)]),
        )

    def _of(self, number: int, column: Column) -> Missing:
        file = self._snapshot.files[number]
        pieces = self._piece_rows[slice(*self._pieces[number : number + 2])]
        name = self._prefix + self._name(file, column, pieces)
        if self._cache is not None:
            try:
                rows = int(self._rows[number + 1] - self._rows[number])
                return Missing.from_bytes(self._cache.get(name).data, rows, len(pieces))
            except (NotFound, ValueError):
                pass  # absent, or damaged: scanning gives the same again
        groups = self._group_rows[slice(*self._groups[number : number + 2])]
        found = scan_missing(self._snapshot, file, column, groups, pieces)
        if self._cache is not None:
            self._cache.put(name, found.to_bytes())
        return found

    def _name(self, file: DataFile, column: Column, pieces: NDArray[np.int32]) -> str:
        """By all that decides what is found: the pieces too, where these tell of values or of added rows."""
        keys = [self._snapshot.column_identity(name) for name in self._keys.columns]
        by = (
            [keys, blake3(pieces.astype("<i4").tobytes()).hexdigest()]
            if column.nulls == "forward_fill" or self._keys.grid is not None
            else []
        )
        identity = self._snapshot.column_identity(column.name)
        return blake3(dumps([FORMAT, "missing", file.identity, identity, by])).hexdigest()


def scan_missing(
    snapshot: Snapshot,
    file: DataFile,
    column: Column,
    group_rows: NDArray[np.int64],
    piece_rows: NDArray[np.int32],
) -> Missing:
    """Read a column of a file, one row group at a time.

    Args:
        snapshot: which the file is of.
        file: what is read.
        column: which column, and its policy.
        group_rows: live rows of each of the file's row groups.
        piece_rows: rows of each of its pieces.
    """
    fills = column.nulls == "forward_fill"
    masks, last = [np.empty(0, np.bool_)], []
    piece_first = np.cumsum(piece_rows, dtype=np.int64) - piece_rows
    group_first = np.cumsum(group_rows) - group_rows
    for group in np.flatnonzero(group_rows).tolist():
        table = snapshot.read(file, group, [column.name])
        mask = missing(table.column(0))
        masks.append(mask)
        if fills:
            begin, end = group_first[group], group_first[group] + group_rows[group]
            starts = piece_first[np.searchsorted(piece_first, begin) : np.searchsorted(piece_first, end)]
            known = np.where(mask, -1, np.arange(len(mask)))
            place = np.maximum.reduceat(known, starts - begin)
            values = features_of(table, [column.name])[:, 0]
            last.append(np.where(place >= 0, values[place], np.float32(np.nan)))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], *masks, [False]]).astype(np.int8)))
    return Missing(
        edges[::2].astype(np.int64),
        np.diff(edges)[::2].astype(np.int64),
        np.concatenate([np.empty(0, np.float32), *last]),
    )


def missing(column: pa.ChunkedArray[Any]) -> NDArray[np.bool_]:
    """[n] whether a value is null or NaN; of a list: whether it, or any number in it, is."""
    cells = column.combine_chunks()
    found = np.array(pc.is_null(cells, nan_is_null=True).to_numpy(zero_copy_only=False), np.bool_)
    if list_value(column.type) is not None:
        counts = pc.list_value_length(cells).fill_null(0).to_numpy(zero_copy_only=False)
        owner = np.repeat(np.arange(len(found)), np.where(found, 0, counts))
        inside = pc.is_null(pc.list_flatten(cells), nan_is_null=True)
        found[owner[np.asarray(inside.to_numpy(zero_copy_only=False), np.bool_)]] = True
    return found
