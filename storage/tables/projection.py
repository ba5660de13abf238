"""Turn what a file holds into what the table means: names, types, missing columns, constants.

Files are older than the table's schema: they may lack a column, call it something else, or hold a narrower
type. A type only ever becomes a wider one here, and never loses a bit; anything else is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pyarrow import types

from storage.tables.columns import Column
from storage.tables.errors import UnsupportedTable

FIELD_ID = b"PARQUET:field_id"


def find_in_file(column: Column, fields: Sequence[pa.Field], *, by_id: bool) -> int | None:
    """Where among a file's fields (or a struct's) this column is; None: the file does not have it."""
    for position, field in enumerate(fields):
        if (field_id_of(field) == column.field_id) if by_id else (field.name == column.physical):
            return position
    return None


def field_id_of(field: pa.Field) -> int | None:
    """The field id that a file's writer gave to a field."""
    text = (field.metadata or {}).get(FIELD_ID)
    return None if text is None else int(text)


def absent(column: Column, rows: int) -> pa.Array:
    """The column's values in a file that does not have it: its default, or nulls.

    Raises:
        UnsupportedTable: it may not be null and has no default.
    """
    if column.default is not None:
        return constant(column.default, column.type, rows)
    if not column.nullable:
        raise UnsupportedTable(f"column {column.name!r} is required, has no default, and a file lacks it")
    return pa.nulls(rows, column.type)


def constant(value: object, type_: pa.DataType, rows: int) -> pa.Array:
    """`rows` times the same value."""
    scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value, type_)
    return pa.repeat(scalar, rows)


def convert(values: pa.ChunkedArray, source: pa.Field, column: Column, *, by_id: bool) -> pa.ChunkedArray:
    """Give a column of a file its logical type.

    Args:
        values: as read from the file.
        source: the file's own field, with the metadata of its children.
        column: what the table says it is.
        by_id: match nested fields by id, not by name.

    Raises:
        UnsupportedTable: the file's type cannot become the table's without loss.
    """
    if not column.children and values.type == column.type:
        return values
    chunks = [_convert(chunk, source, column, by_id) for chunk in values.chunks]
    return pa.chunked_array(chunks, type=column.type)


def _convert(values: pa.Array, source: pa.Field, column: Column, by_id: bool) -> pa.Array:
    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage  # Arrow knows a UUID as such; for the table it is 16 bytes
    if not column.children:
        return promote(values, column.type, column.name)
    if values.offset:
        values = pa.concat_arrays([values])  # children of a slice would still be whole
    if types.is_struct(column.type) and types.is_struct(values.type):
        return _convert_struct(values, source, column, by_id)
    if types.is_fixed_size_list(values.type):
        values = values.cast(pa.list_(values.type.value_field))
    if types.is_list(column.type) and (types.is_list(values.type) or types.is_large_list(values.type)):
        (element,) = column.children
        inner = _convert(values.values, source.type.value_field, element, by_id)
        offsets = values.offsets.cast(pa.int32())
        return pa.ListArray.from_arrays(offsets, inner, type=column.type, mask=_nulls(values))
    if types.is_map(column.type) and types.is_map(values.type):
        key, value = column.children
        keys = _convert(values.keys, source.type.key_field, key, by_id)
        items = _convert(values.items, source.type.item_field, value, by_id)
        return pa.MapArray.from_arrays(values.offsets, keys, items, type=column.type, mask=_nulls(values))
    raise _cannot(values.type, column.type, column.name)


def _convert_struct(values: pa.Array, source: pa.Field, column: Column, by_id: bool) -> pa.Array:
    fields = list(source.type)
    children = []
    for child in column.children:
        position = find_in_file(child, fields, by_id=by_id)
        if position is None:
            children.append(absent(child, len(values)))
        else:
            children.append(_convert(values.field(position), fields[position], child, by_id))
    return pa.StructArray.from_arrays(children, fields=list(column.type), mask=_nulls(values))


def _nulls(values: pa.Array) -> pa.Array | None:
    return values.is_null() if values.null_count else None


def promote(values: pa.Array, target: pa.DataType, name: str) -> pa.Array:
    """Widen values of a simple type to another.

    Raises:
        UnsupportedTable: `target` does not hold every value of the file's type, or not these values.
    """
    source = values.type
    if source == target:
        return values
    if types.is_null(source):
        return pa.nulls(len(values), target)
    if not _widens(source, target):
        raise _cannot(source, target, name)
    if types.is_date(source) and types.is_timestamp(target) and target.tz is not None:
        values = values.cast(pa.timestamp("us"))
    try:
        return values.cast(target, safe=True)
    except pa.ArrowInvalid as error:
        raise UnsupportedTable(
            f"column {name!r}: a file holds {source} values that {target} cannot ({error})"
        ) from error


def _cannot(source: pa.DataType, target: pa.DataType, name: str) -> UnsupportedTable:
    return UnsupportedTable(
        f"column {name!r}: a file holds {source}, the table says {target}; that type change is not supported"
    )


def _widens(source: pa.DataType, target: pa.DataType) -> bool:
    if types.is_timestamp(target):
        # Parquet's INT96 and old Hive files carry no time zone: both formats define them as UTC.
        return bool(types.is_timestamp(source) or types.is_date(source))
    if types.is_integer(source):
        return _holds_integers(source, target)
    if types.is_floating(source):
        return bool(types.is_floating(target) and target.bit_width >= source.bit_width)
    if types.is_decimal(source) and types.is_decimal(target):
        whole = target.precision - target.scale
        return bool(target.scale >= source.scale and whole >= source.precision - source.scale)
    if types.is_string(target) or types.is_binary(target):
        return _is_text(source)
    if types.is_fixed_size_binary(target):
        return bool(types.is_binary(source) or types.is_large_binary(source))
    if types.is_time(target):
        return bool(types.is_time(source))
    return False


def _holds_integers(source: pa.DataType, target: pa.DataType) -> bool:
    bits = source.bit_width + (1 if types.is_unsigned_integer(source) else 0)
    if types.is_signed_integer(target):
        return bool(target.bit_width >= bits)
    if types.is_floating(target):
        return bool(bits <= (53 if target.bit_width == 64 else 24))
    if types.is_decimal(target):
        digits = len(str(2 ** (bits - 1)))
        return bool(target.precision - target.scale >= digits)
    return False


def _is_text(source: pa.DataType) -> bool:
    return bool(
        types.is_string(source)
        or types.is_large_string(source)
        or types.is_string_view(source)
        or types.is_binary(source)
        or types.is_large_binary(source)
        or types.is_binary_view(source)
        or types.is_fixed_size_binary(source)
    )
