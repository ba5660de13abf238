"""Create, open and list tables by uri. (Delta; Iceberg follows.)"""

from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from storage.local import LocalServer
from storage.objects import Access
from storage.tables.delta import DeltaTable
from storage.tables.errors import TableExists, UnsupportedTable
from storage.tables.protocol import Table

Format = Literal["delta", "iceberg"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogSettings:
    """How to reach an Iceberg catalog."""

    uri: str = field(repr=False)
    """`http(s)://…` is a REST catalog, anything else a database for pyiceberg's SQL catalog."""
    warehouse: str | None = None
    credential: str | None = field(default=None, repr=False)
    """REST only: `id:secret`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lake:
    """How tables are reached: the object store, and the Iceberg catalog if there is one."""

    access: Access
    catalog: CatalogSettings | None = None


def lake_for(server: LocalServer) -> Lake:
    """The embedded server as a lake: its object store and its Iceberg catalog."""
    return Lake(
        access=server.access,
        catalog=CatalogSettings(
            uri=server.catalog_uri,
            warehouse=server.catalog_bucket,
            credential=f"{server.access.access_key}:{server.access.secret_key}",
        ),
    )


def create_table(
    lake: Lake,
    uri: str,
    schema: pa.Schema,
    *,
    format: Format = "delta",  # noqa: A002 - the word that users know
    exist_ok: bool = True,
    row_group_rows: int = 131_072,
) -> Table:
    """Create an empty table, or open the one that is there if it has the same format and columns."""
    if format != "delta":
        raise UnsupportedTable(f"{uri}: {format} tables cannot be created yet")
    try:
        return DeltaTable.create(uri, lake.access, schema, row_group_rows)
    except TableExists:
        if not exist_ok:
            raise
        return DeltaTable(uri, lake.access)


def open_table(lake: Lake, uri: str, *, format: Format | None = None) -> Table:  # noqa: A002
    """Open a table by `s3://bucket/key`, `s3://….metadata.json` (read-only) or `namespace.name` (Iceberg)."""
    if format == "iceberg":
        raise UnsupportedTable(f"{uri}: iceberg tables cannot be opened yet")
    return DeltaTable(uri, lake.access)


def list_tables(lake: Lake, bucket: str, prefix: str = "") -> list[tuple[str, Format]]:
    """List (uri, format) of the tables under a prefix of a bucket and in the catalog."""
    raise NotImplementedError
