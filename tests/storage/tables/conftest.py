"""A lake on the embedded server; an address of its own for each test."""

import secrets

import pytest

from storage.local import LocalServer
from storage.objects import Bucket
from storage.tables.open import Lake, lake_for


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
