"""Real servers for the tests: one of each per session, on loopback, gone with the run however it ends."""

import secrets
from collections.abc import Iterator

import pytest

from storage.local import LocalServer
from storage.objects import Bucket


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """The embedded server, empty at first."""
    server = LocalServer.start(tmp_path_factory.mktemp("s3"), die_with_parent=True)
    yield server
    server.stop()


@pytest.fixture
def bucket(s3_server: LocalServer) -> Bucket:
    """A bucket of its own for each test."""
    fresh = Bucket(f"test-{secrets.token_hex(6)}", s3_server.access)
    fresh.create()
    return fresh
