"""From an address to a name in an Iceberg catalog.

A catalog knows tables by `namespace.name`. A user who writes `s3://lake/tables/flights`, as for Delta, means
the table `flights` in the namespace `lake_tables`: bucket and folders joined by `_`, in lower case, every
character but letters, digits, `_` and `-` replaced by `_`. The address is kept as a property of the
table, so that another address which would come to the same name is refused and not mixed up.

Where the data lie is the catalog's choice if it insists (the embedded server puts `lake_tables.flights` at
`s3://warehouse/lake_tables/flights`, inside its own bucket, and that address is understood too); a SQL
catalog puts them at the address.
"""

from __future__ import annotations

import re

from storage import uri as uris
from storage.tables.errors import TableError
from storage.tables.lake import CatalogSettings

ADDRESS = "carousel.address"
"""Property of a table: the `s3://…` it was created as."""

Identifier = tuple[str, ...]


class BadTableName(TableError):
    """The text names no table of a catalog."""


def is_address(text: str) -> bool:
    """Whether it is `s3://…` and not `namespace.name`."""
    return "://" in text


def identifier_of(text: str, catalog: CatalogSettings) -> Identifier:
    """The catalog's name of a table.

    Args:
        text: `s3://bucket/key` or `namespace.name`.
        catalog: which one.

    Raises:
        BadTableName: it has no namespace, or an empty part.
        BadUri: it is no address.
    """
    if not is_address(text):
        parts = tuple(text.split("."))
        if len(parts) < 2 or not all(parts):
            raise BadTableName(f"{text!r} names no table; write namespace.name or s3://bucket/key")
        return parts
    bucket, key = uris.parse(text)
    if not key:
        raise BadTableName(f"{text!r} is a bucket, not a table; write s3://bucket/key")
    folders = key.split("/")
    if bucket == catalog.warehouse and len(folders) == 2:
        return tuple(folders)
    return _clean("_".join([bucket, *folders[:-1]])), _clean(folders[-1])


def _clean(text: str) -> str:
    cleaned = re.sub(r"[^a-z0-9_-]", "_", text.lower())
    return cleaned if cleaned[:1].isalnum() else f"t{cleaned}"
