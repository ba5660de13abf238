"""Create, open and list tables by uri.

- `s3://bucket/key` opens the Delta table there; else the Iceberg table of that address in the catalog; else
  the Iceberg table that lies there, to read only.
- `s3://bucket/….metadata.json` opens the Iceberg table of that metadata file, to read only.
- `namespace.name` opens the Iceberg table of the catalog.

How an address becomes a catalog's name: `iceberg_names.py`. Iceberg's library takes a second to import, so
it is imported by the functions that need it: the ranks of a run on a Delta table do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import pyarrow as pa

from storage import uri as uris
from storage.objects import Bucket
from storage.tables.delta import DeltaTable
from storage.tables.errors import TableExists, TableMissing
from storage.tables.iceberg_names import ADDRESS, is_address
from storage.tables.lake import CatalogSettings, Lake, lake_for
from storage.tables.protocol import Table
from storage.tables.rows import portable
from storage.tables.writing import ROW_GROUP_ROWS

__all__ = [
    "CatalogSettings",
    "Format",
    "Lake",
    "ListedTable",
    "create_table",
    "lake_for",
    "list_tables",
    "open_table",
]

Format = Literal["delta", "iceberg"]


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class ListedTable:
    """One table of a lake."""

    uri: str
    """What `open_table` takes."""
    format: Format


def create_table(
    lake: Lake,
    uri: str,
    schema: pa.Schema,
    *,
    format: Format = "delta",  # noqa: A002 - the word that users know
    exist_ok: bool = True,
    row_group_rows: int = ROW_GROUP_ROWS,
    properties: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    """Create an empty table, or open the one that is there if it has the same format and columns.

    Args:
        lake: where.
        uri: `s3://bucket/key`, or for Iceberg also `namespace.name`.
        schema: columns; of types that both formats hold.
        format: `delta` or `iceberg`.
        exist_ok: an existing table is fine, if it is such a one.
        row_group_rows: rows of each row group that appends will write.
        properties: what a new table says of itself; one that is there keeps its own.

    Raises:
        SchemaMismatch: a column has a type that not every format holds.
        TableExists: another table is there (or any, without `exist_ok`).
    """
    if row_group_rows < 1:
        raise ValueError(f"row_group_rows must be >= 1, got {row_group_rows}")
    wanted = portable(schema)
    other = _format_at(lake, uri) if is_address(uri) else None
    if other is not None and other != format:
        raise TableExists(f"{uri} is a table of the format {other} already; choose another address")
    try:
        if format == "delta":
            table: Table = DeltaTable.create(uri, lake.access, wanted, row_group_rows, properties)
        else:
            from storage.tables import iceberg_open

            table = iceberg_open.create(lake, uri, wanted, row_group_rows, properties)
    except TableExists:
        if not exist_ok:
            raise
        table = open_table(lake, uri, format=format)
    if not table.schema.equals(wanted):
        raise TableExists(
            f"{uri} is a table with other columns already: it has {_brief(table.schema)}, wanted is "
            f"{_brief(wanted)}; choose another address"
        )
    return table


def open_table(lake: Lake, uri: str, *, format: Format | None = None) -> Table:  # noqa: A002
    """Open a table; `format` None: whichever is there.

    Raises:
        TableMissing: there is none; the message says where it was looked for.
        UnsupportedTable: its metadata cannot be read.
    """
    if not is_address(uri) or uri.endswith(".metadata.json"):
        return _open_iceberg(lake, uri)
    looked = []
    for kind in ("delta", "iceberg") if format is None else (format,):
        try:
            return DeltaTable(uri, lake.access) if kind == "delta" else _open_iceberg(lake, uri)
        except TableMissing as error:
            looked.append(str(error))
    raise TableMissing("; ".join(looked))


def list_tables(lake: Lake, bucket: str, prefix: str = "") -> list[ListedTable]:
    """The tables under a prefix of a bucket, and all of the catalog. Cost: lists every object there."""
    found = {ListedTable(uri=uri, format="delta") for uri in _delta_tables(lake, bucket, prefix)}
    if lake.catalog is not None:
        found.update(ListedTable(uri=uri, format="iceberg") for uri in _catalog_tables(lake, lake.catalog))
    return sorted(found)


def _open_iceberg(lake: Lake, uri: str) -> Table:
    from storage.tables import iceberg_open

    if not is_address(uri):
        return iceberg_open.in_catalog(lake, uri)
    if uri.endswith(".metadata.json"):
        return iceberg_open.by_metadata(lake, uri)
    if lake.catalog is not None:
        try:
            return iceberg_open.in_catalog(lake, uri)
        except TableMissing:
            pass  # perhaps a foreign table, which no catalog of ours knows
    return iceberg_open.by_location(lake, uri)


def _format_at(lake: Lake, uri: str) -> Format | None:
    try:
        found = open_table(lake, uri)
    except TableMissing:
        return None
    return "delta" if found.format == "delta" else "iceberg"


def _delta_tables(lake: Lake, bucket: str, prefix: str) -> Iterator[str]:
    mark = "/_delta_log/"
    for info in Bucket(bucket, lake.access).list(prefix):
        root, separator, _ = info.key.partition(mark)
        if separator:
            yield uris.build(bucket, root)


def _catalog_tables(lake: Lake, settings: CatalogSettings) -> Iterator[str]:
    from storage.tables.iceberg_catalog import connect, translated

    catalog = connect(settings, lake.access)
    with translated("the Iceberg catalog"):
        for namespace in catalog.list_namespaces():
            for identifier in catalog.list_tables(namespace):
                properties = catalog.load_table(identifier).metadata.properties
                yield properties.get(ADDRESS, ".".join(identifier))


def _brief(schema: pa.Schema) -> str:
    return ", ".join(f"{it.name} {it.type}{'' if it.nullable else ' not null'}" for it in schema)
