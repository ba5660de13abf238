"""Some rows of a row group: only the pages that hold them come over the wire.

A page index says where each page of a column lies, and with which row it begins. Pages that hold the rows
asked for are put together, in memory, as a Parquet file of one row group, which Arrow reads as any other.
Source: *Page Index* and `parquet.thrift` of Apache Parquet's format.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from storage.tables.footer import Footer
from storage.tables.ranged import Place, RangedFile
from storage.tables.thrift import (
    I64,
    LIST,
    STRUCT,
    BadThrift,
    Field,
    Items,
    Struct,
    read_struct,
    write_struct,
)

_MAGIC = b"PAR1"


P = ParamSpec("P")
R = TypeVar("R")


def _understood(method: Callable[P, R]) -> Callable[P, R]:
    """Tell metadata that lack something, or hold something else in its place, as what they are."""

    @wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise BadThrift(f"its metadata make no sense: {error!r}") from error

    return guarded


class Span(NamedTuple):
    """Rows of a row group."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of one column chunk."""

    first_row: npt.NDArray[np.int64]
    """[n + 1] of each page, in the row group; then the rows of the row group."""
    start: npt.NDArray[np.int64]
    """[n] where each page lies in the file, its header included."""
    size: npt.NDArray[np.int64]
    dictionary: tuple[int, int] | None
    """Where its dictionary's page lies: start and length."""

    def holding(self, rows: Span) -> tuple[int, int]:
        """First and end of the pages that hold `rows`."""
        low = int(np.searchsorted(self.first_row, rows.first, side="right")) - 1
        return low, int(np.searchsorted(self.first_row, rows.end))

    def span(self, rows: Span) -> Span:
        """The rows of those pages."""
        low, high = self.holding(rows)
        return Span(int(self.first_row[low]), int(self.first_row[high]))


class PageIndex:
    """Where the pages of a file lie, as far as somebody has asked. Safe to share between threads."""

    def __init__(self, place: Place, footer: Footer) -> None:
        """Of a file with that footer."""
        self._place, self._footer = place, footer
        self._lock = threading.Lock()
        self._known: dict[tuple[int, int], Pages] = {}

    @_understood
    def of(self, row_group: int, leaves: Sequence[int]) -> dict[int, Pages] | None:
        """The pages of some column chunks, by leaf; None: one of them has no page index.

        Raises:
            BadThrift: an index is damaged.
        """
        with self._lock:
            found = {
                leaf: self._known[row_group, leaf] for leaf in leaves if (row_group, leaf) in self._known
            }
        missing = {leaf: self._chunk(row_group, leaf) for leaf in leaves if leaf not in found}
        if any(4 not in chunk or 5 not in chunk for chunk in missing.values()):
            return None
        places = {leaf: (chunk[4].value, chunk[5].value) for leaf, chunk in missing.items()}
        if any(start < 0 or not 0 < length <= self._place.size - start for start, length in places.values()):
            raise BadThrift(f"the page index of row group {row_group} lies outside of the file")
        file = RangedFile(self._place, places.values())
        for leaf, (start, length) in places.items():
            file.seek(start)
            found[leaf] = self._pages(row_group, leaf, bytes(file.read(length)))
        with self._lock:
            self._known |= {(row_group, leaf): found[leaf] for leaf in missing}
        return found

    @_understood
    def file_of(self, row_group: int, chunks: Mapping[int, Pages], rows: Span) -> bytes:
        """A Parquet file of the pages that hold `rows`, and of each chunk these alone.

        Columns that are not among `chunks` keep their place in the schema; they cannot be read.

        Raises:
            BadThrift: a page has no header.
        """
        wanted = {leaf: _parts(pages, rows) for leaf, pages in chunks.items()}
        source = RangedFile(self._place, [part for parts in wanted.values() for part in parts])
        content = bytearray(_MAGIC)
        group = dict(self._group(row_group))
        columns = list(group[1].value.values)
        for leaf, parts in wanted.items():
            pieces = [_read(source, *part) for part in parts]
            headed = pieces[1:] if chunks[leaf].dictionary else pieces
            values = sum(_values(page) for page in headed)
            columns[leaf] = _moved(
                columns[leaf], len(content), pieces, values, chunks[leaf].dictionary is not None
            )
            for piece in pieces:
                content += piece
        group[1] = Field(LIST, Items(STRUCT, columns))
        group[3] = Field(I64, rows.end - rows.first)
        for number in (4, 5, 6):  # order of sorting, and where the row group lies
            group.pop(number, None)
        footer = {
            **self._footer.without_groups(),
            3: Field(I64, rows.end - rows.first),
            4: Field(LIST, Items(STRUCT, [group])),
        }
        written = write_struct(footer)
        content += written + len(written).to_bytes(4, "little") + _MAGIC
        return bytes(content)

    def _group(self, row_group: int) -> Struct:
        return self._footer.group(row_group)

    def _chunk(self, row_group: int, leaf: int) -> Struct:
        chunk: Struct = self._group(row_group)[1].value.values[leaf]
        return chunk

    def _pages(self, row_group: int, leaf: int, index: bytes) -> Pages:
        """From a column chunk's `OffsetIndex`."""
        meta: Struct = self._chunk(row_group, leaf)[3].value
        begins = [meta[number].value for number in (9, 11) if number in meta and meta[number].value > 0]
        rows = self._group(row_group)[3].value
        listed: list[Struct] = read_struct(index)[0][1].value.values
        places = [[place[number].value for number in (1, 2, 3)] for place in listed]
        start, size, first = np.array(places, np.int64).reshape(-1, 3).T
        first_row = np.append(first, rows)
        sound = len(start) and first[0] == 0 and (np.diff(first_row) > 0).all() and (size > 0).all()
        if not sound or start.min() < 0 or (start + size).max() > self._place.size:
            raise BadThrift(f"the page index of column {leaf} in row group {row_group} contradicts itself")
        begin = min([*begins, int(start[0])])
        dictionary = (begin, int(start[0]) - begin) if begin < start[0] else None
        return Pages(first_row, start, size, dictionary)


def _parts(pages: Pages, rows: Span) -> list[tuple[int, int]]:
    """What to fetch of a column chunk, start and length each: its dictionary if it has one, then pages."""
    low, high = pages.holding(rows)
    parts = zip(pages.start[low:high].tolist(), pages.size[low:high].tolist(), strict=True)
    return [*([pages.dictionary] if pages.dictionary else []), *parts]


def _read(source: RangedFile, start: int, length: int) -> bytes:
    source.seek(start)
    return bytes(source.read(length))


def _values(page: bytes) -> int:
    """How many values a data page holds, nulls included: its header stands before it."""
    header, _ = read_struct(page)
    for kind in (5, 8):  # of version 1, and of version 2
        if kind in header:
            return int(header[kind].value[1].value)
    raise BadThrift("a data page has no header of its own")


def _moved(chunk: Struct, start: int, pieces: Sequence[bytes], values: int, has_dictionary: bool) -> Struct:
    """A column chunk of these pages, from `start` on."""
    meta: Struct = dict(chunk[3].value)
    for number in (8, 10, 11, 12, 13, 14, 15, 16):  # statistics, filters and other pages of the whole chunk
        meta.pop(number, None)
    size = sum(map(len, pieces))
    meta |= {5: Field(I64, values), 6: Field(I64, size), 7: Field(I64, size)}
    if has_dictionary:
        meta |= {9: Field(I64, start + len(pieces[0])), 11: Field(I64, start)}
    else:
        meta[9] = Field(I64, start)
    return {2: Field(I64, start), 3: Field(STRUCT, meta)}
