"""How tables are reached: an object store, and an Iceberg catalog if there is one."""

from __future__ import annotations

from dataclasses import dataclass, field

from storage.local import LocalServer
from storage.objects import Access


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogSettings:
    """How to reach an Iceberg catalog."""

    uri: str = field(repr=False)
    """`http(s)://…` is a REST catalog; anything else a database, in SQLAlchemy's form, that pyiceberg's SQL
    catalog keeps its tables' names in."""
    warehouse: str | None = None
    """REST: which catalog of the server; SQL: `s3://bucket/prefix` under which tables without a place of
    their own go."""
    credential: str | None = field(default=None, repr=False)
    """REST only: `id:secret`."""

    @property
    def is_rest(self) -> bool:
        """Whether it is a REST catalog."""
        return self.uri.startswith(("http://", "https://"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Lake:
    """An object store and its catalog. Hashable; holds secrets, but does not show them."""

    access: Access
    catalog: CatalogSettings | None = None


def lake_for(server: LocalServer) -> Lake:
    """The embedded server as a lake: its object store and its Iceberg catalog."""
    access = server.access
    return Lake(
        access=access,
        catalog=CatalogSettings(
            uri=server.catalog_uri,
            warehouse=server.catalog_bucket,
            credential=f"{access.access_key}:{access.secret_key}",
        ),
    )
