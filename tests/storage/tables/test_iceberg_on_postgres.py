"""The contract for Iceberg with a catalog in a real PostgreSQL, and how such a server can fail."""

import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from storage.objects import AccessDenied, Bucket, Unreachable
from storage.tables import iceberg_catalog
from storage.tables.errors import TableMissing
from storage.tables.iceberg_catalog import DriverMissing, connect
from storage.tables.open import CatalogSettings, Lake, create_table, list_tables, open_table

from ...postgres import Postgres, postgres
from .rows import SENSORS, count, sensors
from .test_iceberg import IcebergContract


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", running.password)
        yield running


@pytest.fixture(scope="module")
def on_postgres(server: Postgres, embedded: Lake, tables_bucket: Bucket) -> Iterator[Lake]:
    settings = CatalogSettings(uri=server.uri(), warehouse=f"s3://{tables_bucket.name}/on-postgres")
    lake = Lake(access=embedded.access, catalog=settings)
    yield lake
    connect(settings, lake.access).close()


class TestIcebergOnPostgres(IcebergContract):
    sampled = True

    @pytest.fixture
    def lake(self, on_postgres: Lake) -> Lake:
        return on_postgres


@pytest.fixture
def settings(on_postgres: Lake) -> CatalogSettings:
    assert on_postgres.catalog is not None
    return on_postgres.catalog


@pytest.fixture
def database(server: Postgres, on_postgres: Lake) -> Iterator[str]:
    """The name of an empty one."""
    name = f"empty_{secrets.token_hex(4)}"
    engine = create_engine(server.uri(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield name
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def test_many_that_meet_an_empty_database_at_once_all_get_its_catalog(server, on_postgres, database):
    settings = CatalogSettings(uri=server.uri(database), warehouse="s3://tables/w")

    def first_use(_: int) -> None:
        catalog = iceberg_catalog._connect.__wrapped__(settings, on_postgres.access)
        assert catalog.list_namespaces() == []
        catalog.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(first_use, range(6)))


def test_connections_that_the_server_ended_are_made_anew(server, on_postgres, uri):
    table = create_table(on_postgres, uri, SENSORS, format="iceberg")
    engine = create_engine(server.uri(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        )
    engine.dispose()
    assert table.append(sensors(10), transaction="t").added
    assert count(open_table(on_postgres, uri)) == 10
    assert [it.uri for it in list_tables(on_postgres, "tables", "on-postgres") if it.uri == uri] == [uri]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"user": "stranger"}, AccessDenied, "refuses the user.*PGPASSWORD"),
        ({"database": "nowhere"}, TableMissing, "no such database"),
    ],
)
def test_a_wrong_user_and_a_missing_database_are_told_apart(server, on_postgres, change, error, message):
    lake = replace(on_postgres, catalog=CatalogSettings(uri=server.uri(**change), warehouse="s3://tables/w"))
    with pytest.raises(error, match=message) as caught:
        open_table(lake, "sales.flights")
    assert server.password not in str(caught.value)


def test_a_server_that_is_down_is_told(on_postgres):
    settings = CatalogSettings(uri="postgresql+psycopg2://carousel@127.0.0.1:1/db", warehouse="s3://tables/w")
    with pytest.raises(Unreachable, match="is it up"):
        open_table(replace(on_postgres, catalog=settings), "sales.flights")


def test_without_its_driver_the_remedy_is_a_command(embedded, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    settings = CatalogSettings(
        uri="postgresql+psycopg2://carousel@127.0.0.1:1/other", warehouse="s3://tables/w"
    )
    with pytest.raises(DriverMissing, match=r"pip install 'carousel-lstm\[postgres\]'"):
        open_table(replace(embedded, catalog=settings), "sales.flights")
