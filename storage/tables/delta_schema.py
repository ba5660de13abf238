"""A Delta table's columns from its schema string.

Source: *Schema Serialization Format* and *Column Mapping* in Delta's PROTOCOL.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from storage.tables.columns import Column, list_of, map_of, struct_of
from storage.tables.errors import UnsupportedTable

_SIMPLE = {
    "string": pa.string(),
    "long": pa.int64(),
    "integer": pa.int32(),
    "short": pa.int16(),
    "byte": pa.int8(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}
_DECIMAL = re.compile(r"decimal\((\d+), ?(-?\d+)\)")
MAPPING = "delta.columnMapping.mode"


def mapping_mode(configuration: Mapping[str, str]) -> str:
    """How files name their columns: `none` (as the table does), `name` or `id`.

    Raises:
        UnsupportedTable: another mode.
    """
    mode = configuration.get(MAPPING, "none").lower()
    if mode not in ("none", "name", "id"):
        raise UnsupportedTable(f"column mapping mode {mode!r} is not supported")
    return mode


def columns_of(schema: str, configuration: Mapping[str, str]) -> tuple[Column, ...]:
    """Parse `metaData.schemaString`.

    Raises:
        UnsupportedTable: a column has a type that Arrow cannot hold faithfully here.
    """
    mapped = mapping_mode(configuration) != "none"
    return tuple(_column(field, mapped, "") for field in json.loads(schema)["fields"])


def _column(field: Mapping[str, Any], mapped: bool, path: str) -> Column:
    name, metadata = field["name"], field.get("metadata") or {}
    type_, children = _type(field["type"], mapped, f"{path}{name}")
    return Column(
        name,
        type_,
        field["nullable"],
        metadata["delta.columnMapping.physicalName"] if mapped else name,
        metadata["delta.columnMapping.id"] if mapped else None,
        children=children,
    )


def _type(type_: Any, mapped: bool, path: str) -> tuple[pa.DataType, tuple[Column, ...]]:
    if isinstance(type_, str):
        return _simple(type_, path), ()
    kind = type_["type"]
    if kind == "struct":
        fields = tuple(_column(field, mapped, f"{path}.") for field in type_["fields"])
        return struct_of(fields), fields
    if kind == "array":
        element = _child("element", type_["elementType"], type_["containsNull"], mapped, path)
        return list_of(element), (element,)
    if kind == "map":
        key = _child("key", type_["keyType"], False, mapped, path)
        value = _child("value", type_["valueType"], type_["valueContainsNull"], mapped, path)
        return map_of(key, value), (key, value)
    raise UnsupportedTable(f"column {path!r} has the type {kind!r}, which is not supported")


def _child(name: str, type_: Any, nullable: bool, mapped: bool, path: str) -> Column:
    inner, children = _type(type_, mapped, f"{path}.{name}")
    return Column(name, inner, nullable, name, children=children)


def _simple(type_: str, path: str) -> pa.DataType:
    if type_ in _SIMPLE:
        return _SIMPLE[type_]
    if match := _DECIMAL.fullmatch(type_):
        precision, scale = map(int, match.groups())
        return pa.decimal128(precision, scale)
    raise UnsupportedTable(f"column {path!r} has the type {type_!r}, which is not supported")
