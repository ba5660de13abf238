"""A proxy in the environment does not stand between us and our own servers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage import loopback
from storage.local import LocalServer
from storage.objects import Bucket

WORK = """
import os, sys
import pyarrow as pa
from storage import loopback
from storage.objects import Access
from storage.tables.open import CatalogSettings, Lake, create_table
endpoint, catalog, warehouse, access_key, secret_key = sys.stdin.read().split()
access = Access(endpoint_url=endpoint, access_key=access_key, secret_key=secret_key, patience_s=5)
settings = CatalogSettings(uri=catalog, warehouse=warehouse, credential=f"{access_key}:{secret_key}")
loopback.bypass_proxies()
for format in ("delta", "iceberg"):
    table = create_table(
        Lake(access=access, catalog=settings),
        f"s3://proxied/{format}",
        pa.schema([("n", pa.int64())]),
        format=format,
    )
    assert table.append(pa.table({"n": [1]}), transaction="a").added
"""
ROOT = Path(__file__).parents[2]


def test_both_formats_work_with_a_proxy_in_the_environment(s3_server: LocalServer):
    Bucket("proxied", s3_server.access).create()
    access = s3_server.access
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")  # nobody
    said = subprocess.run(
        [sys.executable, "-c", WORK],
        input=" ".join(
            map(
                str,
                (
                    s3_server.endpoint_url,
                    s3_server.catalog_uri,
                    s3_server.catalog_bucket,
                    access.access_key,
                    access.secret_key,
                ),
            )
        ),
        env=proxies | {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"no_proxy": "a.example, localhost"}, "a.example,localhost,127.0.0.1,::1"),
        (
            {"NO_PROXY": "a.example", "no_proxy": "b.example"},
            "a.example,b.example,127.0.0.1,localhost,::1",
        ),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_what_stands_there_is_kept(monkeypatch, before, after):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, before.get(name, ""))  # restored at the end of the test
    loopback.bypass_proxies()
    loopback.bypass_proxies()
    assert (os.environ["NO_PROXY"], os.environ["no_proxy"]) == (after, after)
