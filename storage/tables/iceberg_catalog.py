"""Connect to an Iceberg catalog: REST (the embedded server's, or any), or a database.

pyiceberg's catalogs, with our file access and with time limits; what they raise becomes our errors.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import requests
from pydantic import ValidationError
from pyiceberg import exceptions as theirs
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io import FileIO
from requests.adapters import HTTPAdapter
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from storage.objects import Access, AccessDenied, Unreachable
from storage.tables.errors import TableError, TableMissing, UnsupportedTable
from storage.tables.iceberg_io import ACCESS, BucketIO
from storage.tables.lake import CatalogSettings

_TIMEOUT_S = (5, 60)
"""To connect, and of silence."""
_INSTALL = "pip install 'carousel-lstm[postgres]'"
_LOCK = threading.Lock()


class NoCatalog(TableError):
    """An Iceberg table was asked for by name, and no catalog is configured."""


class DriverMissing(TableError):
    """The catalog is a database whose Python driver is not installed."""


def connect(settings: CatalogSettings, access: Access) -> Catalog:
    """The catalog; one per settings and process.

    Raises:
        Unreachable: nothing answers there.
        AccessDenied: it refuses the credential.
        TableMissing: it has no such warehouse.
        DriverMissing: a database's driver is not installed.
    """
    with _LOCK, translated(f"the Iceberg catalog (warehouse {settings.warehouse!r})"):
        return _connect(settings, access)


@functools.lru_cache(maxsize=8)
def _connect(settings: CatalogSettings, access: Access) -> Catalog:
    properties: dict[str, Any] = {"uri": settings.uri}
    if settings.warehouse is not None:
        properties["warehouse"] = settings.warehouse
    if not settings.is_rest:
        # Its `create_table` makes a file access of its own, from these.
        properties |= {ACCESS: access, "py-io-impl": f"{BucketIO.__module__}.{BucketIO.__name__}"}
        return _database(settings.uri, properties)
    if settings.credential is not None:
        properties["credential"] = settings.credential
        properties["oauth2-server-uri"] = f"{settings.uri.rstrip('/')}/v1/oauth/tokens"
    return _Rest(BucketIO({ACCESS: access}), "carousel", properties)


def _database(uri: str, properties: dict[str, Any]) -> Catalog:
    try:
        properties |= {"uri": _bounded(uri), "pool_pre_ping": "true"}  # the database may have restarted
        try:
            return _Sql("carousel", **properties)
        except (IntegrityError, ProgrammingError):
            return _Sql("carousel", **properties)  # another process has made its tables at the same moment
    except (ImportError, NoSuchModuleError, ArgumentError) as error:
        kind = uri.partition(":")[0]
        missing = f": {error}" if isinstance(error, ImportError) else ""
        remedy = f"for PostgreSQL: {_INSTALL}, and postgresql+psycopg2://user@host/database"
        raise DriverMissing(
            f"the catalog's database {kind!r} needs a driver that is not installed, or is no "
            f"address that SQLAlchemy knows{missing}; {remedy}"
        ) from error


def _bounded(uri: str) -> str:
    """The address of a database, with limits to its silence where libpq takes them."""
    url = make_url(uri)
    if url.get_backend_name() != "postgresql" or url.drivername.partition("+")[2] not in (
        "",
        "psycopg2",
        "psycopg",
    ):
        return uri
    limits = {"connect_timeout": str(_TIMEOUT_S[0]), "tcp_user_timeout": str(1000 * _TIMEOUT_S[1])}
    return url.update_query_dict({**limits, **url.query}).render_as_string(hide_password=False)


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what pyiceberg and its transports raise into our errors. Commit outcomes pass through."""
    try:
        yield
    except (theirs.CommitFailedException, theirs.CommitStateUnknownException):
        raise
    except (theirs.NoSuchTableError, theirs.NoSuchNamespaceError, theirs.NoSuchIcebergTableError) as error:
        raise TableMissing(f"{what}: the catalog has no such table ({error}); check its name") from error
    except (theirs.OAuthError, theirs.UnauthorizedError, theirs.ForbiddenError) as error:
        raise AccessDenied(f"{what}: the catalog refuses the credential ({error})") from error
    except (theirs.ServerError, theirs.ServiceUnavailableError, requests.RequestException) as error:
        raise Unreachable(f"{what}: the catalog does not answer ({_brief(error)}); is it up?") from error
    except OperationalError as error:
        raise _no_database(what, error) from error
    except SQLAlchemyError as error:
        raise Unreachable(f"{what}: the catalog's database fails ({_brief(error)}); is it up?") from error
    except theirs.RESTError as error:
        raise TableError(f"{what}: the catalog refuses ({error})") from error
    except (ValidationError, theirs.ValidationError) as error:
        raise UnsupportedTable(f"{what}: its metadata cannot be read here ({_details(error)})") from error


def _no_database(what: str, error: OperationalError) -> Exception:
    """What a database's driver means; its own words are not shown, as they may hold the whole address."""
    said = str(error.orig).lower()
    if "no password" in said or "authentication failed" in said:
        remedy = "give the user's password where its driver looks (PostgreSQL: PGPASSWORD, or ~/.pgpass)"
        return AccessDenied(f"{what}: the catalog's database refuses the user; {remedy}")
    if "database" in said and "does not exist" in said:
        return TableMissing(
            f"{what}: the server has no such database; create it, or correct the catalog's address"
        )
    return Unreachable(f"{what}: the catalog's database fails ({_brief(error)}); is it up?")


def _details(error: Exception) -> str:
    """What pydantic found, without the metadata themselves."""
    found = error if isinstance(error, ValidationError) else error.__cause__
    return (
        "; ".join(str(it["msg"]) for it in found.errors())
        if isinstance(found, ValidationError)
        else str(error)
    )


def _brief(error: Exception) -> str:
    """The kind of failure only: the whole text may hold an address with a password."""
    return type(error).__name__


class _Rest(RestCatalog):
    def __init__(self, file_io: BucketIO, name: str, properties: Mapping[str, str]) -> None:
        self._file_io = file_io
        super().__init__(name, **properties)

    def _load_file_io(
        self, properties: Mapping[str, Any] | None = None, location: str | None = None
    ) -> FileIO:
        return self._file_io

    def _create_session(self) -> requests.Session:
        session = super()._create_session()
        session.mount("http://", _Limited())
        session.mount("https://", _Limited())
        return session


class _Sql(SqlCatalog):
    def _load_file_io(
        self, properties: Mapping[str, Any] | None = None, location: str | None = None
    ) -> FileIO:
        return BucketIO(self.properties)


class _Limited(HTTPAdapter):
    """Requests wait for ever by default."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = kwargs.get("timeout") or _TIMEOUT_S
        return super().send(*args, **kwargs)
