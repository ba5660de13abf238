"""A table's columns, as both formats mean them: a logical name and type, and how a file calls the same thing.

Delta finds a column in a file by its *physical name* (or by field id), Iceberg by its *field id*. A nested
column is found level by level, so the tree goes down to the leaves: a struct's fields, a list's element,
a map's key and value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from storage.tables.errors import NoSuchColumn

ELEMENT = "element"
"""Name of a list's only child, in both formats and in Parquet."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, or one level of a nested one."""

    name: str
    type: pa.DataType
    """Logical type; `read` gives exactly this."""
    nullable: bool = True
    physical: str = ""
    """Its name in the files of a Delta table."""
    field_id: int | None = None
    """Its id in the files of an Iceberg table, and of a Delta table that maps by id."""
    default: object = None
    """Value in files written before the column was added."""
    children: tuple[Column, ...] = ()
    """Struct: its fields; list: the element; map: key and value; otherwise none."""

    @property
    def field(self) -> pa.Field:
        """As a field of an Arrow schema."""
        return pa.field(self.name, self.type, self.nullable)

    @property
    def identity(self) -> str:
        """What the column means inside files, whatever it is called: see `Snapshot.column_identity`."""
        inside = ",".join(child.identity for child in self.children)
        default = "" if self.default is None else f"={self.default!r}"
        return f"{self.field_id}:{self.physical}:{inside or self.type}{default}"


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """The logical Arrow schema."""
    return pa.schema([column.field for column in columns])


def list_of(element: Column) -> pa.DataType:
    """The Arrow type of a list; its child is named as in the files."""
    return pa.list_(pa.field(ELEMENT, element.type, element.nullable))


def struct_of(fields: Sequence[Column]) -> pa.DataType:
    """The Arrow type of a struct."""
    return pa.struct([column.field for column in fields])


def map_of(key: Column, value: Column) -> pa.DataType:
    """The Arrow type of a map."""
    return pa.map_(pa.field("key", key.type, False), pa.field("value", value.type, value.nullable))


def find(columns: Sequence[Column], name: str, table: str) -> Column:
    """The column of that logical name.

    Raises:
        NoSuchColumn: there is none; the message lists those there are.
    """
    for column in columns:
        if column.name == name:
            return column
    have = ", ".join(repr(column.name) for column in columns)
    raise NoSuchColumn(f"{table} has no column {name!r}; it has {have}")
