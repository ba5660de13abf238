"""Real servers for the tests: one of each per session, on loopback, gone with the run however it ends.

The contract suites also run on any other S3 server that these variables name, and leave nothing there:

    CAROUSEL_TEST_S3_ENDPOINT    https://host, or `aws`
    CAROUSEL_TEST_S3_ACCESS_KEY  the keys, which must be
    CAROUSEL_TEST_S3_SECRET_KEY  allowed to create buckets
    CAROUSEL_TEST_S3_BUCKET      or this bucket, under a prefix of it
    CAROUSEL_TEST_S3_REGION      unless it is us-east-1
"""

import base64
import lzma
import os
import secrets
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from storage import daemon
from storage.local import LocalServer
from storage.object_access import client
from storage.objects import Access, Bucket

from .balance import pytest_xdist_make_scheduler  # noqa: F401 - a hook
from .folder import Folder

KMS_KEY = "tests"
MINIO = Path(__file__).parents[2] / "shared" / "bin" / "minio.xz"

# No example fails because the machine is slow or busy.
settings.register_profile("carousel", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("carousel")


@pytest.fixture(autouse=True, scope="session")
def _no_credentials_of_this_machine() -> Iterator[None]:
    """Nothing that the person who runs the tests has set up for S3 may leak into them, or out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [it for it in os.environ if it.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """The embedded server, empty at first."""
    server = LocalServer.start(tmp_path_factory.mktemp("s3"), die_with_parent=True)
    yield server
    server.stop()


@pytest.fixture
def bucket(s3_server: LocalServer) -> Bucket:
    """A bucket of its own for each test, on the embedded server."""
    return fresh_bucket(s3_server.access)


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A real MinIO, where its program is at hand."""
    if not MINIO.exists():
        pytest.skip(f"no MinIO at {MINIO}")
    root = tmp_path_factory.mktemp("minio")
    program = root / "minio"
    with lzma.open(MINIO) as packed, program.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    program.chmod(0o700)
    (port,) = free_ports(1)
    url, user, password = f"http://127.0.0.1:{port}", secrets.token_hex(8), secrets.token_hex(16)
    record = root / "server.json"
    daemon.start(
        record,
        lambda: daemon.Launch(
            command=[str(program), "server", str(root / "data"), "--address", f"127.0.0.1:{port}"],
            env={
                "HOME": str(root),
                "MINIO_ROOT_USER": user,
                "MINIO_ROOT_PASSWORD": password,
                "MINIO_BROWSER": "off",
                "MINIO_KMS_SECRET_KEY": f"{KMS_KEY}:{base64.b64encode(secrets.token_bytes(32)).decode()}",
                "MINIO_UPDATE": "off",
            },
        ),
        lambda _: _is_up(f"{url}/minio/health/ready"),
        what="MinIO",
        die_with_parent=True,
    )
    yield Access(endpoint_url=url, access_key=user, secret_key=password)
    daemon.stop(record)


@dataclass(frozen=True)
class External:
    """An S3 server that somebody named for the contract suites."""

    access: Access
    bucket: str | None
    """Everything goes into this one; None: a bucket of its own for each test."""


@pytest.fixture(scope="session")
def external() -> External:
    """The server that the environment names."""
    names = ("ENDPOINT", "ACCESS_KEY", "SECRET_KEY", "BUCKET", "REGION")
    url, access_key, secret_key, bucket, region = (os.environ.get(f"CAROUSEL_TEST_S3_{it}") for it in names)
    if not (url and access_key and secret_key):
        pytest.skip("no S3 server of yours: set CAROUSEL_TEST_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY")
    endpoint = None if url == "aws" else url
    access = Access(
        endpoint_url=endpoint, region=region or "us-east-1", access_key=access_key, secret_key=secret_key
    )
    return External(access, bucket)


@pytest.fixture
def external_bucket(external: External) -> Iterator[Bucket]:
    """An empty bucket of the named server, or an empty folder of the named bucket; removed at the end."""
    name = external.bucket or f"carousel-test-{secrets.token_hex(6)}"
    whole = Bucket(name, external.access)
    bucket = (
        whole if external.bucket is None else Folder(name, external.access, f"test-{secrets.token_hex(6)}")
    )
    if external.bucket is None:
        whole.create()
    yield bucket
    for info in bucket.list():
        bucket.delete(info.key)
    if external.bucket is None:
        client(external.access, retried=True).delete_bucket(Bucket=name)


def fresh_bucket(access: Access) -> Bucket:
    """A new, empty bucket."""
    bucket = Bucket(f"test-{secrets.token_hex(6)}", access)
    bucket.create()
    return bucket


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on right now."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False
