"""Background servers: shared by commands, found again, ended by the last command that uses them."""

import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psutil
import pytest

from pipelines.surroundings import servers
from pipelines.surroundings.prefect_api import PrefectApi
from storage.local import LocalServer

HOLDER = """
import sys, time
from pathlib import Path
from pipelines.surroundings.servers import borrow
from storage.local import LocalServer
with borrow(LocalServer, Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""


class Pretend:
    """A server that only counts: alive while its folder holds a file `running`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def start(cls, folder: Path) -> Self:
        (folder / "running").touch()
        return cls(folder)

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        return cls(folder) if (folder / "running").exists() else None

    def stop(self) -> None:
        (self.folder / "running").unlink()


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> type[Pretend]:
    monkeypatch.setitem(servers._FOLDERS, Pretend, "pretend")
    return Pretend


def runs(root: Path) -> bool:
    return (root / "pretend" / "running").exists()


def test_the_only_borrower_ends_the_server(kind, tmp_path):
    with servers.borrow(kind, tmp_path):
        assert runs(tmp_path)
    assert not runs(tmp_path)


def test_the_root_is_its_owners_alone_and_stays_out_of_commits(kind, tmp_path):
    with servers.borrow(kind, tmp_path / "root"):
        pass
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "root" / ".gitignore").read_text() == "*\n"


def test_the_last_of_two_borrowers_ends_the_server(kind, tmp_path):
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(servers.borrow(kind, tmp_path))
        second.enter_context(servers.borrow(kind, tmp_path))
        first.close()
        assert runs(tmp_path)
        second.close()
        assert not runs(tmp_path)


def test_a_borrower_that_fails_ends_the_server(kind, tmp_path):
    with pytest.raises(KeyboardInterrupt), servers.borrow(kind, tmp_path):
        raise KeyboardInterrupt
    assert not runs(tmp_path)


def test_a_kept_server_outlives_its_borrowers_until_it_is_ended(kind, tmp_path):
    servers.keep(kind, tmp_path)
    with servers.borrow(kind, tmp_path):
        pass
    assert runs(tmp_path)
    assert servers.end(kind, tmp_path) == "it has ended; its data stay"
    assert not runs(tmp_path)
    assert servers.end(kind, tmp_path) == "it does not run"


def test_a_server_in_use_is_not_ended_by_hand_but_by_its_borrower(kind, tmp_path):
    servers.keep(kind, tmp_path)
    with servers.borrow(kind, tmp_path):
        assert "a command uses it" in servers.end(kind, tmp_path)
        assert runs(tmp_path)
    assert not runs(tmp_path)


def test_keeping_ends_with_the_server_that_was_to_be_kept(kind, tmp_path):
    servers.keep(kind, tmp_path).stop()  # as if the machine had been switched off
    with servers.borrow(kind, tmp_path):
        pass
    assert not runs(tmp_path)


def test_after_kill_9_of_its_borrower_the_server_is_taken_over_and_ended(tmp_path):
    arguments = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        os.kill(holder.pid, signal.SIGKILL)
    folder = servers.folder_of(LocalServer, tmp_path)
    assert LocalServer.find(folder) is not None
    with servers.borrow(LocalServer, tmp_path) as server:
        assert server.pid == pid
    assert LocalServer.find(folder) is None


def test_half_a_prefect_database_is_replaced(api):
    with urllib.request.urlopen(f"{api.api_url}/health") as answer:
        assert answer.read() == b"true"


def test_prefect_is_found_by_others(api):
    assert PrefectApi.find(api.folder) == PrefectApi.start(api.folder) == api


def test_prefect_listens_on_loopback_only(api):
    listening = {
        (it.laddr.ip, it.laddr.port)
        for process in (psutil.Process(api.pid), *psutil.Process(api.pid).children(recursive=True))
        for it in process.net_connections("inet")
        if it.status == psutil.CONN_LISTEN
    }
    assert {f"http://{ip}:{port}" for ip, port in listening} == {api.url}


def test_prefect_gets_no_keys(api):
    assert "hush" not in psutil.Process(api.pid).environ().values()
