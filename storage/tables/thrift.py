"""Thrift's compact protocol, as far as Parquet's metadata need it: structs by field id, both ways.

What is read stays as it is when it is written again, unknown fields too. Source: Apache Thrift,
`doc/specs/thrift-compact-protocol.md`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_WHOLE = (I16, I32, I64)
_MOST_DEEP = 32
"""Levels of nesting; Parquet's own structs have seven."""


class Field(NamedTuple):
    """A field of a struct."""

    type: int
    value: Any
    """bool, int, float, bytes, `Struct`, or a `Items`."""


class Items(NamedTuple):
    """A list or a set."""

    type: int
    values: list[Any]


Struct: TypeAlias = dict[int, Field]
"""By field id."""


class BadThrift(ValueError):
    """These bytes are no struct in Thrift's compact protocol."""


def read_struct(data: bytes, start: int = 0) -> tuple[Struct, int]:
    """The struct that begins at `start`, and where it ends.

    Raises:
        BadThrift: there is none.
    """
    reader = _Reader(data, start)
    try:
        return reader.structure(0), reader.position
    except (IndexError, struct.error) as error:
        raise BadThrift(f"a struct at byte {start} of {len(data)} is cut short") from error


def bare_list(count: int) -> bytes:
    """What stands before the structs of a list of so many."""
    out = bytearray()
    _write_list(out, STRUCT, count)
    return bytes(out)


def write_struct(fields: Struct) -> bytes:
    """The inverse of `read_struct`."""
    out = bytearray()
    _write(out, STRUCT, fields)
    return bytes(out)


class Skimmer:
    """Walks over structs field by field; what nobody reads is passed over, and takes no memory.

    Its methods raise BadThrift or IndexError where the bytes are no struct.
    """

    def __init__(self, data: bytes, position: int = 0) -> None:
        """Begin at `position`, where a struct begins."""
        self._data, self._reader = data, _Reader(data, position)

    @property
    def position(self) -> int:
        """The next byte."""
        return self._reader.position

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of the struct that begins here; its value comes next."""
        number = 0
        for header in iter(self._reader.byte, 0):
            number = number + (header >> 4) if header >> 4 else self._reader.signed()
            begin = self.position
            yield number, header & 15
            if self.position == begin and header & 15 not in (TRUE, FALSE):
                self._reader.position = _after(self._data, begin, header & 15, 0)

    def whole(self) -> int:
        """The value, of a whole number."""
        return self._reader.signed()

    def structs(self) -> range:
        """Counts through the value, a list of structs."""
        kind, count = self._reader.list_header()
        if kind != STRUCT:
            raise BadThrift(f"a list of type {kind}, where structs should be")
        return range(count)


def _after(data: bytes, at: int, kind: int, depth: int) -> int:
    """Where the value that begins at `at` ends: a footer has millions of them, so this calls little."""
    if kind in _WHOLE:
        while data[at] > 127:
            at += 1
        return at + 1
    if kind == STRUCT:
        _check(depth)
        while header := data[at]:
            at += 1
            if header < 16:  # the field's number follows
                at = _after(data, at, I64, depth)
            if (kind := header & 15) in _WHOLE:
                while data[at] > 127:
                    at += 1
                at += 1
            elif kind not in (TRUE, FALSE):
                at = _after(data, at, kind, depth + 1)
        return at + 1
    if kind == BINARY and (size := data[at]) < 128:
        return at + 1 + size
    reader = _Reader(data, at)
    if kind in (LIST, SET):
        _check(depth)
        kind, count = reader.list_header()
        at = reader.position
        for _ in range(count):
            at = at + 1 if kind in (TRUE, FALSE) else _after(data, at, kind, depth + 1)
        return at
    reader.value(kind, depth)
    return reader.position


def _check(depth: int) -> None:
    if depth > _MOST_DEEP:
        raise BadThrift(f"structs and lists are nested more than {_MOST_DEEP} deep")


class _Reader:
    def __init__(self, data: bytes, position: int) -> None:
        self._data, self.position = data, position

    def structure(self, depth: int) -> Struct:
        _check(depth)
        fields: Struct = {}
        number = 0
        while header := self.byte():
            kind = header & 15
            number = number + (header >> 4) if header >> 4 else self.signed()
            value = kind == TRUE if kind in (TRUE, FALSE) else self.value(kind, depth)
            fields[number] = Field(kind, value)
        return fields

    def value(self, kind: int, depth: int) -> Any:
        if kind in _WHOLE:
            return self.signed()
        if kind == BINARY:
            return self._bytes(self._unsigned())
        if kind == STRUCT:
            return self.structure(depth + 1)
        if kind in (LIST, SET):
            return self._items(depth)
        if kind == BYTE:
            return struct.unpack("b", self._bytes(1))[0]
        if kind == DOUBLE:
            return struct.unpack("<d", self._bytes(8))[0]
        raise BadThrift(f"a value of type {kind}, which Parquet's metadata do not have")

    def _items(self, depth: int) -> Items:
        _check(depth)
        kind, count = self.list_header()
        if kind in (TRUE, FALSE):
            return Items(kind, [self.byte() == TRUE for _ in range(count)])
        return Items(kind, [self.value(kind, depth + 1) for _ in range(count)])

    def list_header(self) -> tuple[int, int]:
        """The type of a list's items, and how many there are."""
        header = self.byte()
        count = header >> 4 if header >> 4 < 15 else self._unsigned()
        if count > len(self._data) - self.position:  # each takes a byte at least
            raise BadThrift(f"a list of {count} in {len(self._data)} bytes")
        return header & 15, count

    def byte(self) -> int:
        self.position += 1
        return self._data[self.position - 1]

    def _bytes(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self._data):
            raise BadThrift(f"{count} bytes are wanted at byte {self.position} of {len(self._data)}")
        found = self._data[self.position : end]
        self.position = end
        return found

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise BadThrift(f"a number at byte {self.position} is longer than 64 bits")

    def signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)


def _write(out: bytearray, kind: int, value: Any) -> None:
    if kind in _WHOLE:
        _write_unsigned(out, (value << 1) ^ (value >> 63))
    elif kind == BINARY:
        _write_unsigned(out, len(value))
        out += value
    elif kind == STRUCT:
        _write_fields(out, value)
    elif kind in (LIST, SET):
        _write_list(out, value.type, len(value.values))
        for item in value.values:
            _write(out, value.type, item)
    elif kind in (TRUE, FALSE):  # only in lists: a field's header holds its own
        out.append(TRUE if value else FALSE)
    elif kind == BYTE:
        out += struct.pack("b", value)
    else:
        assert kind == DOUBLE
        out += struct.pack("<d", value)


def _write_list(out: bytearray, kind: int, count: int) -> None:
    out.append(min(count, 15) << 4 | kind)
    if count >= 15:
        _write_unsigned(out, count)


def _write_fields(out: bytearray, fields: Struct) -> None:
    before = 0
    for number in sorted(fields):
        kind, value = fields[number]
        if kind in (TRUE, FALSE):
            kind = TRUE if value else FALSE
        if 0 < number - before <= 15:
            out.append((number - before) << 4 | kind)
        else:
            out.append(kind)
            _write_unsigned(out, (number << 1) ^ (number >> 63))
        if kind not in (TRUE, FALSE):
            _write(out, kind, value)
        before = number
    out.append(0)


def _write_unsigned(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
