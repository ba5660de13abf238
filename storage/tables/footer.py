"""A Parquet footer. Of a long one only those row groups are taken apart that are in use.

Arrow's form of a column chunk takes about nine times the bytes that it has in the file (880 for 100), and
Python's more than that: a file of 40,000 chunks would take 37 MB for as long as it is open. So a long footer
stays as it is in the file, with the place of each row group in it, and each read makes a footer of one row
group. Measured on 2 slow cores: 17 µs per chunk to find the places, once, where Arrow takes 3 µs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import pyarrow as pa
import pyarrow.parquet as pq

from storage.tables.thrift import LIST, STRUCT, BadThrift, Items, Skimmer, Struct, bare_list, read_struct

_LONG = 64 << 10
"""Bytes from which on row groups are taken apart one by one: some 650 column chunks."""
_ROW_GROUPS, _ROWS = 4, 3
"""Fields of `FileMetaData`, and of a `RowGroup` in it."""
_GROWTH = 9
"""Bytes in memory for each byte of a footer that is taken apart."""
_APART = 8
"""Row groups of a long footer that stay taken apart for whoever reads by pages: but for the last one, no more
than `_LONG` bytes of them, as Python's form takes about 44 times the bytes in the file."""


class Footer:
    """What a file says of itself. Safe to share between threads."""

    def __init__(self, data: bytes) -> None:
        """Take `FileMetaData`, as they stand in the file; what follows them there is ignored.

        Raises:
            BadThrift, pa.ArrowInvalid, ValueError, OSError: these are none.
        """
        self._data = data
        self._lock = threading.Lock()
        self._apart: OrderedDict[int, Struct] = OrderedDict()
        self._whole = _parsed(data) if len(data) < _LONG else None
        self._places: list[int] = []
        """Of a long footer: where each row group begins, and where the last one ends."""
        if self._whole is not None:
            groups = range(self._whole.num_row_groups)
            self.row_groups: tuple[int, ...] = tuple(self._whole.row_group(i).num_rows for i in groups)
            """Rows of each row group."""
        else:
            self.row_groups = self._find()
        self.first = self._alone(0) if self._whole is None else self._whole
        """Arrow's form of the footer, with its first row group at least."""

    def of(self, row_group: int) -> tuple[pq.FileMetaData, int]:
        """Arrow's form of a footer that has a row group, and the row group's number in it.

        Raises: as the constructor.
        """
        return (self._alone(row_group), 0) if self._whole is None else (self._whole, row_group)

    def group(self, row_group: int) -> Struct:
        """A `RowGroup`, to be read only.

        Raises:
            BadThrift: it is none.
        """
        with self._lock:
            if row_group in self._apart:
                self._apart.move_to_end(row_group)
                return self._apart[row_group]
        if self._places:
            groups = {row_group: read_struct(self._data, self._places[row_group])[0]}
        else:
            groups = dict(enumerate(read_struct(self._data)[0][_ROW_GROUPS].value.values))
        with self._lock:
            self._apart |= groups
            while self._places and len(self._apart) > 1 and self._too_many():
                self._apart.popitem(last=False)
        return groups[row_group]

    def _too_many(self) -> bool:
        """Whether more row groups are taken apart than may stay so."""
        taken = sum(self._places[group + 1] - self._places[group] for group in self._apart)
        return len(self._apart) > _APART or taken > _LONG

    def without_groups(self) -> Struct:
        """`FileMetaData`, with no row group."""
        fields, _ = read_struct(self._cut(b"", 0) if self._places else self._data)
        return fields | {_ROW_GROUPS: fields[_ROW_GROUPS]._replace(value=Items(STRUCT, []))}

    @property
    def nbytes(self) -> int:
        """What it takes in memory, about."""
        return len(self._data) * (1 if self._whole is None else _GROWTH)

    def _find(self) -> tuple[int, ...]:
        """Note where the row groups are, and where their list begins and ends."""
        skimmer, rows, places = Skimmer(self._data), list[int](), list[int]()
        try:
            for number, kind in skimmer.fields():
                if number != _ROW_GROUPS:
                    continue
                if kind != LIST or places:
                    raise BadThrift("a footer without one list of row groups")
                self._list = skimmer.position
                for _ in skimmer.structs():
                    places.append(skimmer.position)
                    rows += [skimmer.whole() for field, _ in skimmer.fields() if field == _ROWS]
                places.append(skimmer.position)
        except IndexError as error:
            raise BadThrift(f"a footer of {len(self._data)} bytes is cut short") from error
        if len(rows) != len(places) - 1:
            raise BadThrift("a row group does not say how many rows it has")
        self._places, self._end = places, skimmer.position
        return tuple(rows)

    def _alone(self, row_group: int) -> pq.FileMetaData:
        begin, end = self._places[row_group : row_group + 2] if self.row_groups else (0, 0)
        return _parsed(self._cut(self._data[begin:end], min(1, len(self.row_groups))))

    def _cut(self, groups: bytes, count: int) -> bytes:
        """The footer with `count` row groups, these bytes, instead of its own."""
        data = self._data
        return data[: self._list] + bare_list(count) + groups + data[self._places[-1] : self._end]


def _parsed(footer: bytes) -> pq.FileMetaData:
    length = len(footer).to_bytes(4, "little")
    return pq.read_metadata(pa.BufferReader(b"PAR1" + footer + length + b"PAR1"))
