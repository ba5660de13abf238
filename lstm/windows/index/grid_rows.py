"""A snapshot whose series lie on a regular grid: rows that the table lacks are read as rows without values.

Where they stand follows from a plan's pieces (`grid.filled`), never from values; what is read of the table is
its own rows, with their times, which say where each belongs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lstm.windows.arrays.sums import Sums
from lstm.windows.errors import PlanMismatch
from lstm.windows.index.grid import OBSERVED, gridded
from lstm.windows.index.segments import Pieces
from lstm.windows.table.columns import times_of
from lstm.windows.table.keys import Keys
from lstm.windows.table.snapshot_view import SnapshotView
from lstm.windows.table.sorted_rows import in_order
from storage.tables.protocol import DataFile, Snapshot

Array = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Filling:
    """Where the rows of a snapshot stand among those that a grid adds."""

    keys: Keys
    files: tuple[str, ...]
    """Identities of the snapshot's files."""
    pieces: Pieces
    """As `grid.filled` gives them."""

    @cached_property
    def _file_number(self) -> dict[str, int]:
        return {identity: number for number, identity in enumerate(self.files)}

    @cached_property
    def _group_piece(self) -> NDArray[np.int64]:
        """[G + 1] first piece of each row group; then the number of pieces."""
        pieces = self.pieces
        return Sums(pieces.rows).find(np.concatenate([[0], np.cumsum(pieces.group_rows)]))

    @cached_property
    def nothing(self) -> "Filling":
        """As if the grid added no rows."""
        return Filling(self.keys, self.files, self.pieces.of_the_table())

    def groups(self, file: DataFile) -> slice:
        """The row groups of a file, as the pieces number them."""
        number = self._file_number[file.identity]
        first, end = np.searchsorted(self.pieces.group_file, [number, number + 1]).tolist()
        return slice(first, end)

    def part(self, file: DataFile, row_group: int, rows: tuple[int, int] | None) -> "Part":
        """Some rows of a row group, those that are added counted; None: all."""
        group, pieces = self.groups(file).start + row_group, self.pieces
        assert pieces.stored is not None
        assert self.keys.grid is not None
        held = slice(*self._group_piece[group : group + 2].tolist())
        first, end = (0, int(pieces.group_rows[group])) if rows is None else rows
        return Part(
            grid=self.keys.grid,
            first=first,
            end=end,
            rows=pieces.rows[held].astype(np.int64),
            stored=pieces.stored[held].astype(np.int64),
            first_time=pieces.first_time[held],
        )


@dataclass(frozen=True, eq=False)
class Part:
    """Rows [first, end) of a row group on the grid, and the pieces [p] of that row group."""

    grid: int
    first: int
    end: int
    rows: Array
    stored: Array
    first_time: Array

    @cached_property
    def _begins(self) -> tuple[Array, Array]:
        """[p] first row of each piece, on the grid and in the table."""
        return np.cumsum(self.rows) - self.rows, np.cumsum(self.stored) - self.stored

    @cached_property
    def needed(self) -> tuple[int, int] | None:
        """First and end of the table's rows among which those of the part are; None: all.

        Of a piece that the part holds only some rows of, as many more as it may lack before or after them.
        """
        if (self.first, self.end) == (0, int(self.rows.sum())):
            return None
        if self.first >= self.end:
            return 0, 0
        begins, stored = self._begins
        low, high = (np.searchsorted(begins, [self.first, self.end - 1], side="right") - 1).tolist()
        lacks = self.rows - self.stored
        before = max(0, self.first - int(begins[low]) - int(lacks[low]))
        upto = min(int(self.stored[high]), self.end - int(begins[high]))
        return int(stored[low]) + before, int(stored[high]) + upto

    @property
    def whole(self) -> bool:
        """Whether the table has every row of it, and of the pieces that it holds rows of."""
        lacks = self.rows > self.stored
        return not lacks.any() or not (lacks & (self._counts(self.rows, self.first, self.end) > 0)).any()

    def times(self) -> Array:
        """[n] of the part's rows."""
        counts = self._counts(self.rows, self.first, self.end)
        times: Array = np.arange(self.first, self.end) * self.grid + np.repeat(self._origins, counts)
        return times

    def sources(self, times: Array) -> Array | None:
        """[n] which of the needed rows, whose `times` are given, each row of the part is; -1: none.

        None: these are other rows than the pieces were made of.
        """
        first, end = self.needed or (0, int(self.stored.sum()))
        if len(times) != end - first:
            return None
        begins, stored = self._begins
        counts = self._counts(self.stored, first, end)
        since = times - np.repeat(self._origins, counts)
        place = since // self.grid
        if np.any(place * self.grid != since) or np.any(place[1:] <= place[:-1]):
            return None
        begun = (stored >= first) & (stored < end)  # such a piece begins with a row of the table
        held = np.flatnonzero(counts)
        last = begins[held[-1:]] + self.rows[held[-1:]]
        if np.any(place[stored[begun] - first] != begins[begun]) or np.any(place[-1:] >= last):
            return None
        if np.any(place[:1] < begins[held[:1]]):
            return None
        source = np.full(self.end - self.first, -1)
        wanted = (place >= self.first) & (place < self.end)
        source[place[wanted] - self.first] = np.flatnonzero(wanted)
        return source

    def same_series(self) -> Array:
        """[n] for each row of the part, one of the needed rows of its series."""
        first, end = self.needed or (0, int(self.stored.sum()))
        counts = self._counts(self.stored, first, end)
        return np.repeat(np.cumsum(counts) - counts, self._counts(self.rows, self.first, self.end))

    @cached_property
    def _origins(self) -> Array:
        """[p] when the first row of the row group would be, on the grid of each piece."""
        origins: Array = self.first_time - self._begins[0] * self.grid
        return origins

    @staticmethod
    def _counts(lengths: Array, first: int, end: int) -> Array:
        """[p] how many of the rows [first, end) are in each of pieces that stand end to end."""
        ends = np.cumsum(lengths)
        counts: Array = np.clip(ends, first, end) - np.clip(ends - lengths, first, end)
        return counts


class GridRows(SnapshotView):
    """A snapshot on a grid; row groups are the table's own, longer by what is added to them."""

    def __init__(self, snapshot: Snapshot, filling: Filling) -> None:
        super().__init__(snapshot)
        self.filling = filling
        """What is added where."""
        self.schema = gridded(snapshot.schema, filling.keys)
        """The table's columns, and `observed`."""

    @property
    def below(self) -> Snapshot:
        """The snapshot without a grid."""
        return self._inner

    def column_identity(self, column: str) -> str:
        """Name what a column means inside the files; of keys and `observed`, with the grid."""
        keys = self.filling.keys
        if column != OBSERVED and column not in keys.columns:
            return self._inner.column_identity(column)
        of = [self._inner.column_identity(key) for key in keys.columns]
        which = OBSERVED if column == OBSERVED else self._inner.column_identity(column)
        return f"on a grid of {keys.grid} by {of}: {which}"

    def row_groups(self, file: DataFile) -> tuple[int, ...]:
        """Rows of each row group, those included that are added."""
        filling = self.filling
        return tuple(filling.pieces.group_rows[filling.groups(file)].tolist())

    def read(
        self, file: DataFile, row_group: int, columns: Sequence[str], rows: tuple[int, int] | None = None
    ) -> pa.Table:
        """Read rows of one row group, nulls where the table has no row. Raises as the table's own `read`.

        Raises:
            PlanMismatch: the row group holds other rows than the grid was laid on.
        """
        keys, part = self.filling.keys, self.filling.part(file, row_group, rows)
        wanted = list(dict.fromkeys([*(it for it in columns if it != OBSERVED), keys.time]))
        stored = self._inner.read(file, row_group, wanted, part.needed)
        cells: dict[str, Any] = {OBSERVED: pa.array(np.ones(stored.num_rows, np.bool_))}
        if not part.whole:
            source = part.sources(times_of(stored.column(keys.time), keys.time))
            if source is None:
                raise PlanMismatch(
                    f"row group {row_group} of {file.path} holds other rows than when they were laid on a "
                    "grid; files of a table must never be changed in place: restore the file, or start a new "
                    "run"
                )
            observed = source >= 0
            stored, which = stored.unify_dictionaries(), pa.array(source, mask=~observed)
            cells = {OBSERVED: pa.array(observed)}
            cells[keys.time] = _as_times(part.times(), stored.schema.field(keys.time).type)
            if keys.entity is not None and keys.entity in columns:
                cells[keys.entity] = stored.column(keys.entity).take(pa.array(part.same_series()))
            for name in stored.column_names:
                if name not in cells:
                    cells[name] = stored.column(name).take(which)
        chosen = [cells[name] if name in cells else stored.column(name) for name in columns]
        return pa.table(chosen, names=list(columns))

    def page_rows(self, file: DataFile, row_group: int, columns: Sequence[str]) -> int | None:
        """Rows of the table, since those that are added take no bytes. Raises as `read`."""
        wanted = [*(it for it in columns if it != OBSERVED), self.filling.keys.time]
        return self._inner.page_rows(file, row_group, list(dict.fromkeys(wanted)))


def below(snapshot: Snapshot) -> Snapshot:
    """A snapshot without its grid, if it has one."""
    return snapshot.below if isinstance(snapshot, GridRows) else snapshot


def as_read(snapshot: Snapshot, keys: Keys, filling: Filling | None) -> Snapshot:
    """The snapshot as these keys read it: in order, and on the grid."""
    if isinstance(snapshot, GridRows) and snapshot.filling is filling:
        return snapshot
    ordered = in_order(below(snapshot), keys)
    return ordered if filling is None else GridRows(ordered, filling)


def _as_times(times: Array, kind: pa.DataType) -> Any:
    """Microseconds, or ordinals, as the table's own times."""
    if pa.types.is_integer(kind):
        return pa.array(times).cast(kind)
    return pa.array(times).view(pa.timestamp("us", getattr(kind, "tz", None))).cast(kind)
