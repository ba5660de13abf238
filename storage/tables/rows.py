"""Check rows before they are written: every column known, none lost, no value changed."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from storage.tables.columns import Column, schema_of
from storage.tables.errors import SchemaMismatch

_BOTH_FORMATS = (
    types.is_boolean,
    types.is_int32,
    types.is_int64,
    types.is_float32,
    types.is_float64,
    types.is_string,
    types.is_binary,
    types.is_date32,
    types.is_decimal128,
)


def portable(schema: pa.Schema) -> pa.Schema:
    """The schema for a new table: types that both formats hold without change.

    Raises:
        SchemaMismatch: a column has another type, or two names differ in case only.
    """
    if not schema.names:
        raise SchemaMismatch("a table needs at least one column")
    seen: dict[str, str] = {}
    for name in schema.names:
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            raise SchemaMismatch(
                f"columns {other!r} and {name!r} differ in case at most, and some engines ignore case; "
                f"rename one"
            )
    return pa.schema([pa.field(it.name, _portable(it.type, it.name), it.nullable) for it in schema])


def _portable(type_: pa.DataType, name: str) -> pa.DataType:
    if types.is_large_string(type_) or types.is_string_view(type_):
        return pa.string()
    if types.is_large_binary(type_):
        return pa.binary()
    if types.is_list(type_) or types.is_large_list(type_):
        inner = _portable(type_.value_type, f"{name}.element")
        return pa.list_(pa.field("element", inner, type_.value_field.nullable))
    if types.is_struct(type_):
        fields = [pa.field(it.name, _portable(it.type, f"{name}.{it.name}"), it.nullable) for it in type_]
        return pa.struct(fields)
    if types.is_timestamp(type_) and type_.unit == "us" and type_.tz in (None, "UTC"):
        return type_
    if any(fits(type_) for fits in _BOTH_FORMATS):
        return type_
    raise SchemaMismatch(
        f"column {name!r} has the type {type_}, which not every format holds; {_remedy(type_)}"
    )


def _remedy(type_: pa.DataType) -> str:
    if types.is_timestamp(type_):
        return 'cast it to timestamp("us", tz="UTC")'
    if types.is_integer(type_):
        return "cast it to int32 or int64"
    if types.is_floating(type_):
        return "cast it to float32"
    if types.is_dictionary(type_):
        return f"cast it to {type_.value_type}"
    return "cast it to a number, string, boolean, date, timestamp, decimal, list or struct"


def fit(rows: pa.Table, columns: Sequence[Column], table: str) -> pa.Table:
    """`rows` with exactly the table's columns, in its order, of its types.

    Raises:
        SchemaMismatch: a column is unknown, missing, does not fit without loss, or is null where it must
            not be. The message names all such columns.
    """
    names = [column.name for column in columns]
    problems = [f"{name!r} is given more than once" for name in _repeated(rows.schema.names)]
    problems += [f"{name!r} is not a column of the table" for name in rows.schema.names if name not in names]
    fitted = []
    for column in columns:
        if rows.schema.names.count(column.name) > 1:
            continue
        try:
            fitted.append(_fit(rows, column))
        except SchemaMismatch as error:
            problems.append(str(error))
    if problems:
        raise SchemaMismatch(
            f"the rows do not fit {table}: {'; '.join(problems)}. It has "
            + ", ".join(f"{column.name} {column.type}" for column in columns)
        )
    return pa.Table.from_arrays(fitted, schema=schema_of(columns))


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _fit(rows: pa.Table, column: Column) -> pa.ChunkedArray:
    if column.name not in rows.schema.names:
        if not column.nullable:
            raise SchemaMismatch(f"{column.name!r} is missing, and may not be null")
        return pa.chunked_array([pa.nulls(rows.num_rows, column.type)])
    values = rows.column(column.name)
    if values.null_count and not column.nullable:
        raise SchemaMismatch(f"{column.name!r} is null in {values.null_count} of {rows.num_rows} rows")
    if not _may_become(values.type, column.type):
        raise SchemaMismatch(f"{column.name!r} is {values.type}, the table's is {column.type}")
    try:
        fitted = values.cast(column.type, safe=True)
    except pa.ArrowInvalid as error:
        raise SchemaMismatch(
            f"{column.name!r} is {values.type} and holds values that {column.type} cannot ({error})"
        ) from error
    for chunk in fitted.chunks:
        _check_inside(chunk, column.name)
    return fitted


def _check_inside(values: pa.Array, path: str) -> None:
    """Refuse nulls inside a nested value where it may not have any; a cast lets them pass."""
    for field, child in _inside(values):
        if child.null_count and not field.nullable:
            raise SchemaMismatch(
                f"{path!r} holds {child.null_count} nulls as {field.name!r}, which may not be null"
            )
        _check_inside(child, f"{path}.{field.name}")


def _inside(values: pa.Array) -> list[tuple[pa.Field, pa.Array]]:
    """The children of a nested array's values, without those of null ones."""
    type_ = values.type
    if types.is_struct(type_):
        present = values.drop_null()
        return [(field, pc.struct_field(present, [number])) for number, field in enumerate(type_)]
    if types.is_list(type_):
        return [(type_.value_field, pc.list_flatten(values))]
    return []


def _may_become(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether a cast is only another way to write the same values (a checked cast does the rest)."""
    if source == target or types.is_null(source):
        return True
    if types.is_dictionary(source):
        return _may_become(source.value_type, target)
    if types.is_timestamp(target):
        return bool(types.is_timestamp(source) and (source.tz is None) == (target.tz is None))
    if types.is_struct(target):
        return bool(
            types.is_struct(source)
            and [it.name for it in source] == [it.name for it in target]
            and all(_may_become(a.type, b.type) for a, b in zip(source, target, strict=True))
        )
    if types.is_nested(target):
        alike = types.is_nested(source) and source.num_fields == target.num_fields
        pairs = zip(_children(source), _children(target), strict=True) if alike else ()
        return alike and not types.is_struct(source) and all(_may_become(a, b) for a, b in pairs)
    families = (types.is_integer, types.is_floating, types.is_decimal, _is_string, _is_bytes)
    return any(same(source) and same(target) for same in families) and _no_narrower(source, target)


def _children(type_: pa.DataType) -> list[pa.DataType]:
    return [type_.field(i).type for i in range(type_.num_fields)]


def _no_narrower(source: pa.DataType, target: pa.DataType) -> bool:
    # Arrow's checked cast lets float64 become float32 although digits are lost.
    return not (types.is_floating(source) and target.bit_width < source.bit_width)


def _is_string(type_: pa.DataType) -> bool:
    return bool(types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_))


def _is_bytes(type_: pa.DataType) -> bool:
    return bool(types.is_binary(type_) or types.is_large_binary(type_))
