"""An Iceberg table's columns from its schema, and the other way round; field ids for files without any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import pyarrow as pa
from pyarrow import types as arrow
from pyiceberg import types
from pyiceberg.schema import Schema
from pyiceberg.table.name_mapping import MappedField, NameMapping

from storage.tables.columns import Column, list_of, map_of, struct_of
from storage.tables.errors import UnsupportedTable
from storage.tables.projection import FIELD_ID, field_id_of

_SIMPLE: dict[type[types.IcebergType], pa.DataType] = {
    types.BooleanType: pa.bool_(),
    types.IntegerType: pa.int32(),
    types.LongType: pa.int64(),
    types.FloatType: pa.float32(),
    types.DoubleType: pa.float64(),
    types.DateType: pa.date32(),
    types.TimeType: pa.time64("us"),
    types.TimestampType: pa.timestamp("us"),
    types.TimestamptzType: pa.timestamp("us", "UTC"),
    types.TimestampNanoType: pa.timestamp("ns"),
    types.TimestamptzNanoType: pa.timestamp("ns", "UTC"),
    types.StringType: pa.string(),
    types.UUIDType: pa.binary(16),
    types.BinaryType: pa.binary(),
}


def columns_of(schema: Schema) -> tuple[Column, ...]:
    """The columns of a schema.

    Raises:
        UnsupportedTable: a column has a type that Arrow cannot hold faithfully here.
    """
    return tuple(_column(field, field.name) for field in schema.fields)


def _column(field: types.NestedField, path: str) -> Column:
    type_, children = _type(field.field_type, path)
    default = field.initial_default
    return Column(
        field.name,
        type_,
        field.optional,
        field_id=field.field_id,
        default=default.bytes if isinstance(default, UUID) else default,
        children=children,
    )


def _type(type_: types.IcebergType, path: str) -> tuple[pa.DataType, tuple[Column, ...]]:
    if isinstance(type_, types.StructType):
        fields = tuple(_column(field, f"{path}.{field.name}") for field in type_.fields)
        return struct_of(fields), fields
    if isinstance(type_, types.ListType):
        element = _column(type_.element_field, f"{path}.element")
        return list_of(element), (element,)
    if isinstance(type_, types.MapType):
        key, value = _column(type_.key_field, f"{path}.key"), _column(type_.value_field, f"{path}.value")
        return map_of(key, value), (key, value)
    if isinstance(type_, types.DecimalType):
        return pa.decimal128(type_.precision, type_.scale), ()
    if isinstance(type_, types.FixedType):
        return pa.binary(len(type_)), ()
    if (simple := _SIMPLE.get(type(type_))) is not None:
        return simple, ()
    raise UnsupportedTable(f"column {path!r} has the type {type_}, which is not supported")


def iceberg_schema(schema: pa.Schema) -> Schema:
    """The schema of a new table, from one that `rows.portable` let pass."""
    numbers = iter(range(1, 1 << 30))
    # Ids of a level come before those of the levels below, as other writers number them.
    return Schema(*_fields(list(schema), numbers))


def _fields(fields: Sequence[pa.Field], numbers: Iterator[int]) -> list[types.NestedField]:
    ids = [next(numbers) for _ in fields]
    return [
        types.NestedField(
            field_id, field.name, _iceberg_type(field.type, numbers), required=not field.nullable
        )
        for field_id, field in zip(ids, fields, strict=True)
    ]


def _iceberg_type(type_: pa.DataType, numbers: Iterator[int]) -> types.IcebergType:
    if arrow.is_struct(type_):
        return types.StructType(*_fields(list(type_), numbers))
    if arrow.is_list(type_):
        (element,) = _fields([type_.value_field], numbers)
        return types.ListType(element.field_id, element.field_type, element_required=element.required)
    if arrow.is_decimal(type_):
        return types.DecimalType(type_.precision, type_.scale)
    return next(kind() for kind, arrow_type in _SIMPLE.items() if arrow_type == type_)


def file_schema(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of a new data file: field ids at every level."""
    return pa.schema([_with_id(column, column.name) for column in columns])


def _with_id(column: Column, name: str) -> pa.Field:
    type_ = column.type
    if arrow.is_struct(type_):
        type_ = pa.struct([_with_id(child, child.name) for child in column.children])
    elif arrow.is_list(type_):
        type_ = pa.list_(_with_id(column.children[0], "element"))
    elif arrow.is_map(type_):
        type_ = pa.map_(_with_id(column.children[0], "key"), _with_id(column.children[1], "value"))
    return pa.field(name, type_, column.nullable, {FIELD_ID: str(column.field_id).encode()})


def has_ids(fields: Sequence[pa.Field]) -> bool:
    """Whether a file's writer gave ids to its fields."""
    return any(field_id_of(field) is not None for field in fields)


def apply_names(fields: Sequence[pa.Field], mapping: NameMapping) -> list[pa.Field]:
    """Give ids to the fields of a file without any, by the table's name mapping; unmapped ones get none."""
    return [_mapped(field, list(mapping), field.name) for field in fields]


def _mapped(field: pa.Field, mapping: Sequence[MappedField], name: str) -> pa.Field:
    found = next((entry for entry in mapping if name in entry.names), None)
    inner = found.fields if found is not None else []
    type_ = field.type
    if arrow.is_struct(type_):
        type_ = pa.struct([_mapped(child, inner, child.name) for child in type_])
    elif arrow.is_list(type_):
        type_ = pa.list_(_mapped(type_.value_field, inner, "element"))
    elif arrow.is_map(type_):
        key, value = (
            _mapped(type_.key_field, inner, "key"),
            _mapped(type_.item_field, inner, "value"),
        )
        type_ = pa.map_(key, value)
    field_id = None if found is None else found.field_id
    metadata = None if field_id is None else {FIELD_ID: str(field_id).encode()}
    return pa.field(field.name, type_, field.nullable, metadata)
