"""Temporary keys as a real server gives them, with a session token and fewer rights, in all that uses keys.

MinIO's token service stands in for AWS's. Its client makes the user, as only it speaks its administration.
"""

import lzma
import os
import secrets
import shutil
import subprocess
from dataclasses import replace

import botocore.session
import pytest

from storage import object_access
from storage.objects import Access, AccessDenied, Bucket
from storage.tables import CatalogSettings, Lake, create_table, open_table
from storage.tables.iceberg_catalog import connect

from ..conftest import MINIO
from .tables.rows import SENSORS, count, sensors

CLIENT = MINIO.with_name("mc.xz")
READ_ONLY = """{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::*"]}]}"""


@pytest.fixture(scope="module")
def user(minio: Access, tmp_path_factory: pytest.TempPathFactory) -> Access:
    """A user of MinIO who may read and write."""
    if not CLIENT.exists():
        pytest.skip(f"no client of MinIO at {CLIENT}")
    folder = tmp_path_factory.mktemp("mc")
    program = folder / "mc"
    with lzma.open(CLIENT) as packed, program.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    program.chmod(0o700)
    name, password = secrets.token_hex(8), secrets.token_hex(16)
    address = str(minio.endpoint_url).replace("://", f"://{minio.access_key}:{minio.secret_key}@")
    environment = {"PATH": os.defpath, "HOME": str(folder), "MC_HOST_here": address}
    for words in (
        ["user", "add", "here", name, password],
        ["policy", "attach", "here", "readwrite", "--user", name],
    ):
        subprocess.run([program, "admin", *words], env=environment, check=True, capture_output=True)
    return replace(minio, access_key=name, secret_key=password)


def temporary(user: Access, policy: str | None) -> Access:
    """The user's rights, or those of them that `policy` leaves, for an hour."""
    service = botocore.session.Session().create_client(
        "sts",
        endpoint_url=user.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=user.access_key,
        aws_secret_access_key=user.secret_key,
    )
    request = {"RoleArn": "arn:minio:iam:::role/any", "RoleSessionName": "test"}
    given = service.assume_role(**request, **({"Policy": policy} if policy else {}))["Credentials"]
    keys = {"access_key": given["AccessKeyId"], "secret_key": given["SecretAccessKey"]}
    return replace(user, **keys, session_token=given["SessionToken"])


@pytest.fixture(scope="module")
def catalog(user: Access, tmp_path_factory: pytest.TempPathFactory) -> CatalogSettings:
    Bucket("temporary", user).create()
    folder = tmp_path_factory.mktemp("catalog")
    return CatalogSettings(uri=f"sqlite:///{folder}/catalog.db", warehouse="s3://temporary/warehouse")


@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_a_session_token_goes_with_every_request(user, catalog, kind):
    whole = Lake(access=temporary(user, None), catalog=catalog)
    guest = Lake(access=temporary(user, READ_ONLY), catalog=catalog)
    table = create_table(whole, f"s3://temporary/{kind}", SENSORS, format=kind)
    assert table.append(sensors(10), transaction="a").added
    seen = open_table(guest, table.uri, format=kind)
    assert count(seen) == 10
    with pytest.raises(AccessDenied) as caught:
        seen.append(sensors(10), transaction="b")
    assert str(guest.access.secret_key) not in str(caught.value)
    assert str(guest.access.session_token) not in str(caught.value)
    assert count(seen) == 10
    for lake in (whole, guest):
        connect(catalog, lake.access).close()


def test_a_token_of_the_environment_serves_too(user, catalog, monkeypatch):
    given = temporary(user, None)
    for name, value in (
        ("AWS_ENDPOINT_URL_S3", given.endpoint_url),
        ("AWS_ACCESS_KEY_ID", given.access_key),
        ("AWS_SECRET_ACCESS_KEY", given.secret_key),
        ("AWS_SESSION_TOKEN", given.session_token),
    ):
        monkeypatch.setenv(name, str(value))
    object_access.renew()
    table = create_table(Lake(access=Access()), "s3://temporary/by-environment", SENSORS)
    assert table.append(sensors(10), transaction="a").added
    assert count(open_table(Lake(access=Access()), table.uri)) == 10
    object_access.renew()
