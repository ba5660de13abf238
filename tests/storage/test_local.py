"""The embedded server: one per folder, the same data after any end, on loopback, for its owner only."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from storage import daemon, local
from storage.errors import UserError
from storage.local import LocalServer
from storage.objects import AccessDenied, Bucket, BucketMissing, OutcomeUnknown, Unreachable


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder whose server ends with the test."""
    folder = tmp_path / "s3"
    yield folder
    if running := LocalServer.find(folder):
        running.stop()


def start(root: Path) -> LocalServer:
    return LocalServer.start(root, die_with_parent=True)


def lake(server: LocalServer, **access: float) -> Bucket:
    return Bucket("lake", replace(server.access, **access))  # type: ignore[arg-type]  # numbers only


def test_one_server_per_folder_found_by_whoever_asks(root: Path) -> None:
    assert LocalServer.find(root) is None
    with ThreadPoolExecutor(4) as pool:
        servers = list(pool.map(lambda _: LocalServer.start(root), range(4)))
    assert len({it.pid for it in servers}) == 1
    assert LocalServer.find(root) == servers[0] == start(root)
    servers[0].stop()
    servers[0].stop()
    assert LocalServer.find(root) is None
    assert not psutil.pid_exists(servers[0].pid)


def test_address_keys_and_data_outlive_a_stop_and_a_kill(root: Path) -> None:
    first = start(root)
    lake(first).create()
    lake(first).put("k", b"1")
    first.stop()
    second = start(root)
    assert second.access == first.access
    assert lake(second).get("k").data == b"1"
    etag = lake(second).put("k", b"2")
    os.kill(second.pid, signal.SIGKILL)
    third = start(root)
    assert third.access == first.access
    assert lake(third).get("k").data == b"2"
    lake(third).put_if_match("k", b"3", etag)


def test_what_was_acknowledged_survives_a_kill_under_load(root: Path) -> None:
    server = start(root)
    lake(server).create()
    acknowledged: list[tuple[str, bytes]] = []
    enough = threading.Event()

    def write(writer: int) -> None:
        bucket, number = lake(server, patience_s=0), 0
        while True:
            key, number = f"{writer}/{number}", number + 1
            data = random.Random(key).randbytes(50_000)
            try:
                bucket.put_if_absent(key, data)
            except (OutcomeUnknown, Unreachable):
                return
            acknowledged.append((key, data))
            if len(acknowledged) > 200:
                enough.set()

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        enough.wait(600)
        os.kill(server.pid, signal.SIGKILL)
    assert [it.result() for it in writers] == [None] * 4
    bucket = lake(start(root))
    assert all(bucket.get(key).data == data for key, data in acknowledged)
    assert {key for key, _ in acknowledged} <= {it.key for it in bucket.list()}


def test_it_listens_on_loopback_and_on_the_recorded_ports_only(s3_server: LocalServer) -> None:
    family = [psutil.Process(s3_server.pid), *psutil.Process(s3_server.pid).children(recursive=True)]
    connections = [it for process in family for it in process.net_connections("inet")]
    listening = {it.laddr.port for it in connections if it.status == psutil.CONN_LISTEN}
    assert listening == set(s3_server.ports.values())
    assert {it.laddr.ip for it in connections} == {"127.0.0.1"}
    assert all(it.type == socket.SOCK_STREAM for it in connections)


def test_it_talks_to_nobody_else(s3_server: LocalServer) -> None:
    connections = psutil.Process(s3_server.pid).net_connections("inet")
    assert {it.raddr.ip for it in connections if it.raddr} <= {"127.0.0.1"}


def test_a_port_that_is_taken_meanwhile_is_replaced(root: Path) -> None:
    first = start(root)
    lake(first).create()
    lake(first).put("k", b"1")
    first.stop()
    with socket.create_server(("127.0.0.1", first.ports["volume.port.grpc"])):
        second = start(root)
    assert first.ports["volume.port.grpc"] not in second.ports.values()
    assert lake(second).get("k").data == b"1"


def test_a_server_that_moved_silently_is_not_accepted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that is taken between our look and the server's start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        real = local._free_ports
        choices = iter([{**real(), "filer.port": port}, real()])
        monkeypatch.setattr(local, "_free_ports", lambda: next(choices))
        server = start(root)
        assert port not in server.ports.values()
        assert lake(server).exists() is False


def test_secrets_stay_with_their_owner(root: Path) -> None:
    server = start(root)
    secret = server.access.secret_key
    assert secret
    assert len(secret) >= 32
    process = psutil.Process(server.pid)
    assert secret not in " ".join(process.cmdline())
    assert secret not in repr(server)
    assert secret not in daemon.log_of(root / "server.json").read_text()
    holders = [it for it in root.rglob("*") if it.is_file() and secret.encode() in it.read_bytes()]
    assert sorted(it.name for it in holders) == ["server.json", "settings.json"]
    assert {stat.S_IMODE(it.stat().st_mode) for it in holders} == {0o600}
    assert stat.S_IMODE((root / "data").stat().st_mode) == 0o700


def test_two_folders_have_two_servers_with_their_own_keys(root: Path, s3_server: LocalServer) -> None:
    other = start(root)
    assert not set(other.ports.values()) & set(s3_server.ports.values())
    stranger = Bucket("lake", replace(other.access, endpoint_url=s3_server.endpoint_url))
    with pytest.raises(AccessDenied):
        stranger.exists()


@pytest.mark.parametrize("service", ["filer.port", "volume.port", "master.port"])
def test_the_ports_behind_give_no_data_without_a_token(s3_server: LocalServer, service: str) -> None:
    bucket = lake(s3_server)
    bucket.create()
    bucket.put("private", b"x" * 5000)
    for path in ("/buckets/lake/private", "/1,01637037d6"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{s3_server.ports[service]}{path}")
        caught.value.close()
        assert caught.value.code in (400, 401, 403, 404)


def test_a_bucket_is_not_made_by_writing_to_it(s3_server: LocalServer) -> None:
    with pytest.raises(BucketMissing):
        Bucket("typo", s3_server.access).put("k", b"1")


def test_the_catalog_answers_with_the_keys_and_not_without(s3_server: LocalServer) -> None:
    url = f"{s3_server.catalog_uri}/v1/config?warehouse={s3_server.catalog_bucket}"
    form = (
        "grant_type=client_credentials&scope=catalog"
        f"&client_id={s3_server.access.access_key}&client_secret={s3_server.access.secret_key}"
    )
    with urllib.request.urlopen(f"{s3_server.catalog_uri}/v1/oauth/tokens", form.encode()) as answer:
        token = json.load(answer)["access_token"]
    namespaces = f"{s3_server.catalog_uri}/v1/namespaces"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as answer:
        assert "defaults" in json.load(answer)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(namespaces)
    caught.value.close()
    assert caught.value.code in (401, 403)


def test_an_empty_server_takes_little_disk(root: Path) -> None:
    server = start(root)
    lake(server).create()
    lake(server).put("k", b"x" * 100_000)
    allocated = sum(it.stat().st_blocks * 512 for it in root.rglob("*") if it.is_file())
    assert allocated < 4_000_000


def test_a_folder_that_cannot_be_made_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make the folder"):
        LocalServer.start(tmp_path / "file" / "s3")


def test_a_server_that_may_not_be_looked_at_yet_does_not_answer_yet(
    s3_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert local._listening(s3_server.pid)

    def denied(process: psutil.Process, kind: str) -> None:  # as while a process of an ordinary user execs
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "net_connections", denied)
    assert local._listening(s3_server.pid) == set()
