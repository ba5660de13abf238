"""A background server is started once, found again, and ended whole; strangers are left alone."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from storage import daemon
from storage.daemon import Daemon, DaemonFailed, Launch

# Tells that it is up by a file, then waits; with "child" it leaves a child in a group of its own beside it.
SERVER = """
import os, pathlib, signal, subprocess, sys, time
folder, *words = sys.argv[1:]
if "stubborn" in words:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "child" in words:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("some words of", os.getpid(), flush=True)
if "broken" in words:
    sys.exit("the reason")
if "mute" not in words:
    pathlib.Path(folder, f"up-{os.getpid()}").touch()
time.sleep(600)
"""


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run" / "server.json"
    yield path
    daemon.stop(path)


def start(record: Path, *words: str, timeout_s: float = 30, die_with_parent: bool = True) -> Daemon:
    folder = record.parent
    return daemon.start(
        record,
        lambda: Launch(
            command=[sys.executable, "-c", SERVER, str(folder), *words],
            env={"PATH": os.defpath},
            details={"n": 7},
        ),
        lambda it: (folder / f"up-{it.pid}").exists(),
        what="the test server",
        timeout_s=timeout_s,
        die_with_parent=die_with_parent,
    )


def ours(record: Path) -> list[psutil.Process]:
    """Every process that was started for the record."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(daemon.MARK, "").startswith(f"{record}@"):
                found.append(process)
        except psutil.Error:
            continue
    return [it for it in found if it.status() != psutil.STATUS_ZOMBIE]


def test_start_waits_until_ready_and_records_what_runs(record: Path) -> None:
    running = start(record)
    assert (record.parent / f"up-{running.pid}").exists()
    assert running.alive
    assert daemon.find(record) == running
    assert running.details == {"n": 7}
    assert psutil.Process(running.pid).cmdline()[2] == SERVER


def test_start_again_takes_over_what_runs(record: Path) -> None:
    assert start(record) == start(record)
    assert len(ours(record)) == 1


def test_many_starts_at_once_end_with_one_server(record: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        started = list(pool.map(lambda _: start(record, die_with_parent=False), range(6)))
    assert len({it.pid for it in started}) == 1
    assert [it.pid for it in ours(record)] == [started[0].pid]


def test_starts_of_several_processes_end_with_one_server(record: Path) -> None:
    commands = [starter(record) for _ in range(3)]
    pids = {command.communicate()[0] for command in commands}
    assert [command.returncode for command in commands] == [0, 0, 0]
    assert pids == {str(it.pid).encode() for it in ours(record)}


def starter(record: Path, *words: str, die_with_parent: bool = False) -> subprocess.Popen[bytes]:
    """Another process that starts the server, prints its pid, and ends when its input does."""
    code = (
        "import sys, pathlib; from tests.storage import test_daemon\n"
        "record, *words = sys.argv[1:]\n"
        f"it = test_daemon.start(pathlib.Path(record), *words, die_with_parent={die_with_parent})\n"
        "print(it.pid, end='', flush=True)\n"
        "sys.stdin.read()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(record), *words],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_the_next_start_finds_what_a_killed_starter_left(record: Path) -> None:
    """Killed while it waits for a server that never gets ready; the next one waits for that same server."""
    with starter(record, "mute") as killed:
        wait_for(lambda: record.exists() and "some words" in daemon.log_of(record).read_text())
        killed.kill()
    running = daemon.find(record)
    assert running is not None
    (record.parent / f"up-{running.pid}").touch()
    assert start(record) == running
    assert len(ours(record)) == 1


def test_a_starter_killed_before_it_recorded_leaves_no_server(tmp_path: Path) -> None:
    """The gate: closing its input without a word is what the kernel does for a killed starter."""
    gate = Path(daemon.__file__).with_name("_gate.py")
    program = [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", gate, "0", *program], input=b"", stderr=subprocess.PIPE
    )
    assert done.returncode == 1
    assert b"before it had recorded" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_after_kill_9_the_next_start_is_a_new_server(record: Path) -> None:
    first = start(record)
    kill_9(first)
    second = start(record)
    assert second.pid != first.pid
    assert not first.alive
    assert second.alive


def test_stop_ends_server_and_children_and_can_be_repeated(record: Path) -> None:
    running = start(record, "child")
    assert len(ours(record)) == 2
    assert daemon.stop(record)
    assert not running.alive
    assert ours(record) == []
    assert daemon.find(record) is None
    assert not daemon.stop(record)


def test_stop_kills_what_does_not_heed_sigterm(record: Path) -> None:
    running = start(record, "stubborn")
    assert daemon.stop(record, timeout_s=0.1)
    assert not running.alive


def test_stop_of_what_never_was_is_quiet(tmp_path: Path) -> None:
    assert not daemon.stop(tmp_path / "nothing" / "server.json")
    assert daemon.find(tmp_path / "nothing" / "server.json") is None
    assert list(tmp_path.iterdir()) == []


def test_children_of_a_killed_server_do_not_outlive_the_next_start(record: Path) -> None:
    first = start(record, "child")
    kill_9(first)
    second = start(record)
    assert [it.pid for it in ours(record)] == [second.pid]


def test_a_server_whose_record_was_deleted_is_replaced(record: Path) -> None:
    first = start(record)
    record.unlink()
    second = start(record)
    assert not first.alive
    assert [it.pid for it in ours(record)] == [second.pid]


@pytest.mark.parametrize("started", ["another boot:123", "0.00"])
def test_a_stranger_with_the_recorded_pid_is_never_touched(record: Path, started: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    ) as stranger:
        start(record)
        daemon.stop(record)
        entry = {
            "pid": stranger.pid,
            "started": started,
            "what": "x",
            "since": "2026-01-01T00:00:00",
            "details": {},
        }
        record.write_text(json.dumps(entry))
        assert daemon.find(record) is None
        assert not daemon.stop(record)
        record.write_text(json.dumps(entry))
        assert start(record).pid != stranger.pid
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}', "\x00\xff"])
def test_a_damaged_record_counts_as_none(record: Path, text: str) -> None:
    record.parent.mkdir()
    record.write_text(text)
    assert daemon.find(record) is None
    assert start(record).alive


def test_a_server_that_ends_is_told_with_its_last_words(record: Path) -> None:
    with pytest.raises(DaemonFailed, match=r"(?s)the test server ended while it started.*the reason"):
        start(record, "broken")
    assert daemon.find(record) is None


def test_a_server_that_does_not_get_ready_is_ended(record: Path) -> None:
    with pytest.raises(DaemonFailed, match=r"did not answer within 0\.5 s"):
        start(record, "mute", timeout_s=0.5)
    assert ours(record) == []


def test_a_program_that_does_not_exist_is_told(record: Path) -> None:
    with pytest.raises(DaemonFailed, match="no-such-program"):
        daemon.start(
            record,
            lambda: Launch(command=["/no-such-program"], env={}),
            lambda _: False,
            what="the test server",
        )


def test_files_are_for_their_owner_only(record: Path) -> None:
    start(record)
    modes = {it.name: stat.S_IMODE(it.stat().st_mode) for it in record.parent.glob("server.*")}
    assert modes == {"server.json": 0o600, "server.log": 0o600, "server.lock": 0o600}


@pytest.mark.skipif(sys.platform != "linux", reason="a signal of Linux")
def test_a_server_of_tests_ends_with_them_even_when_they_are_killed(record: Path) -> None:
    with starter(record, die_with_parent=True) as parent:
        wait_for(lambda: any(record.parent.glob("up-*")))
        running = daemon.find(record)
        assert running is not None
        parent.kill()
    wait_for(lambda: not running.alive)


def kill_9(running: Daemon) -> None:
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: not running.alive)  # a signal takes its time


def wait_for(condition: object) -> None:
    """Poll another process's progress; a test's time limit ends a hopeless wait."""
    assert callable(condition)
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)
