"""Lakes on the embedded server, on MinIO and on a server of yours; an address of its own for each test."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.local import LocalServer
from storage.objects import Access, Bucket
from storage.tables.iceberg_catalog import connect
from storage.tables.open import CatalogSettings, Lake, lake_for

from ...conftest import External


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On MinIO every promise is tried, but by default those only that rest on the server: see `contract`."""
    for item in items:
        sampled = isinstance(item, pytest.Function) and getattr(item.cls, "sampled", False)
        if sampled and not item.get_closest_marker("server"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def embedded(s3_server: LocalServer) -> Lake:
    return lake_for(s3_server)


@pytest.fixture(scope="session")
def tables_bucket(s3_server: LocalServer) -> Bucket:
    bucket = Bucket("tables", s3_server.access)
    bucket.create()
    return bucket


@pytest.fixture
def uri(tables_bucket: Bucket) -> str:
    """Where no table is yet."""
    return f"s3://{tables_bucket.name}/t/{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def on_minio(minio: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """MinIO, with a catalog in a database, as it has none of its own; its bucket is `tables`."""
    Bucket("tables", minio).create()
    lake = with_database(minio, "s3://tables/warehouse", tmp_path_factory.mktemp("minio-catalog"))
    yield lake
    assert lake.catalog is not None
    connect(lake.catalog, lake.access).close()


@pytest.fixture
def on_external(external: External, external_bucket: Bucket, tmp_path: Path) -> Iterator[Lake]:
    """The server that the environment names, with a catalog in a database."""
    lake = with_database(external.access, f"{_root(external_bucket)}/warehouse", tmp_path)
    yield lake
    assert lake.catalog is not None
    connect(lake.catalog, lake.access).close()


@pytest.fixture
def external_uri(external_bucket: Bucket) -> str:
    """Where no table is yet, on the server that the environment names."""
    return f"{_root(external_bucket)}/t/{secrets.token_hex(6)}"


def with_database(access: Access, warehouse: str, folder: Path) -> Lake:
    """A lake whose catalog is a file of its own."""
    catalog = CatalogSettings(uri=f"sqlite:///{folder}/catalog.db", warehouse=warehouse)
    return Lake(access=access, catalog=catalog)


def _root(bucket: Bucket) -> str:
    folder = getattr(bucket, "folder", None)
    return f"s3://{bucket.name}/{folder}" if folder else f"s3://{bucket.name}"
