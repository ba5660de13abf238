"""Background servers that outlive the command that started them, and are found again.

A *record* is one small JSON file (mode 0600): process id, start time of that process, and details such as
ports. A process id alone may by now belong to a stranger, so nothing is signalled unless its start time (and
boot) is the recorded one, or its environment says that it was started for this very record.

All changes of a record happen under a file lock beside it, which the kernel releases when its holder dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

MARK = "CAROUSEL_DAEMON"
"""Environment variable of a server and its children: the record they were started for."""
_POLL_S = 0.02
_GATE = Path(__file__).with_name("_gate.py")


class DaemonFailed(Exception):
    """The server ended, or did not answer in time; the message ends with its last lines of output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """What to start: decided under the lock, and only if nothing runs yet."""

    command: Sequence[str]
    """Program (absolute path) and arguments. Everybody on the machine can read them: no secrets here."""
    env: Mapping[str, str]
    """The whole environment, secrets included; never written down."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON kept in the record for whoever finds the server: ports, keys."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Daemon:
    """A server process that was started and recorded."""

    pid: int
    started: str
    """Boot and start time of the process, as the kernel tells it; differs for a reused pid."""
    what: str
    """What a person would call it."""
    since: str
    """ISO 8601, UTC."""
    details: Mapping[str, Any] = field(repr=False)

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return identity(self.pid) == self.started


def start(
    record: Path,
    prepare: Callable[[], Launch],
    ready: Callable[[Daemon], bool],
    *,
    what: str,
    timeout_s: float = 60,
    die_with_parent: bool = False,
) -> Daemon:
    """Return the recorded server if it lives, else start one; either way wait until it is ready.

    Idempotent, also between processes. Output goes to `<record>.log`, emptied at each start.

    Args:
        record: the JSON file; its folder is made if missing.
        prepare: says what to start.
        ready: asked again and again until it returns true; may raise DaemonFailed to give up.
        what: what a person would call it, for messages.
        timeout_s: how long to wait for `ready`.
        die_with_parent: Linux kills the server when the calling thread ends, however it ends (for tests).

    Raises:
        DaemonFailed: it ended or was not ready in time; what was started is ended again.
    """
    record.parent.mkdir(parents=True, exist_ok=True)
    with _locked(record):
        daemon = find(record)
        if daemon is None:
            _end_strays(record)
            daemon = _spawn(record, prepare(), what, die_with_parent)
        _wait_ready(record, daemon, ready, timeout_s)
        return daemon


def find(record: Path) -> Daemon | None:
    """The recorded server if that very process still runs."""
    daemon = _read(record)
    return daemon if daemon is not None and daemon.alive else None


def stop(record: Path, *, timeout_s: float = 10) -> bool:
    """End the recorded server and its children: SIGTERM, SIGKILL after `timeout_s`. True if one ran."""
    if not record.parent.is_dir():
        return False
    with _locked(record):
        return _stop(record, timeout_s)


def log_of(record: Path) -> Path:
    """Where the server's output goes."""
    return record.with_suffix(".log")


def _stop(record: Path, timeout_s: float) -> bool:
    daemon = find(record)
    if daemon is not None:
        _signal_group(daemon, signal.SIGTERM)
        if not _wait(lambda: not daemon.alive, timeout_s):
            _signal_group(daemon, signal.SIGKILL)
            _wait(lambda: not daemon.alive, timeout_s)
    _end_strays(record)
    record.unlink(missing_ok=True)
    return daemon is not None


def _spawn(record: Path, launch: Launch, what: str, die_with_parent: bool) -> Daemon:
    gate = [sys.executable, "-I", "-S", str(_GATE), str(os.getpid() if die_with_parent else 0)]
    with _private(log_of(record)) as log:
        process = subprocess.Popen(
            [*gate, *launch.command],
            env={**launch.env, MARK: _mark(record)},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    assert process.stdin is not None
    with process.stdin as word:
        started = identity(process.pid)
        if started is None:
            raise DaemonFailed(f"{what} ended at once")
        daemon = Daemon(
            pid=process.pid,
            started=started,
            what=what,
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            details=dict(launch.details),
        )
        write_private(record, json.dumps(asdict(daemon), indent=1))
        word.write(b"go\n")
    _reap_later(process)
    return daemon


def _wait_ready(record: Path, daemon: Daemon, ready: Callable[[Daemon], bool], timeout_s: float) -> None:
    try:
        if _wait(lambda: not daemon.alive or ready(daemon), timeout_s) and daemon.alive:
            return
    except DaemonFailed:
        _stop(record, timeout_s=5)
        raise
    trouble = f"did not answer within {timeout_s:g} s" if daemon.alive else "ended while it started"
    _stop(record, timeout_s=5)
    raise DaemonFailed(f"{daemon.what} {trouble}; its output in {log_of(record)} ends with:\n{_tail(record)}")


def _wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def identity(pid: int) -> str | None:
    """Boot and start time of a live process; None if there is none. With it a pid cannot be mistaken."""
    if sys.platform != "linux":
        try:
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
        except psutil.NoSuchProcess:
            return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    if (
        state in "ZX" and _threads(pid) <= 1
    ):  # a dying server's first thread ends before those that hold its ports
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # ours: let it go; another's: nothing to do
        return None
    # Ticks since boot: unlike a wall clock they cannot be moved under us. The boot id makes them unique.
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{fields[18]}"


def _threads(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return 0


def _signal_group(daemon: Daemon, number: signal.Signals) -> None:
    if daemon.alive:  # alive, the leader's pid cannot be anybody else's
        with contextlib.suppress(ProcessLookupError):
            os.killpg(daemon.pid, number)


def _end_strays(record: Path) -> None:
    """Kill what was started for this record and is not in it.

    Children of a dead server, in any process group, and a server whose record was deleted with its folder.
    """
    mark = _mark(record)
    strays = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it has ended, or is another user's
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                strays.append((process.pid, identity(process.pid)))
                process.kill()  # psutil compares the start time first
    _wait(lambda: not any(known == identity(pid) for pid, known in strays if known), timeout_s=5)


def _mark(record: Path) -> str:
    """Path and mount namespace: in another container the same path is another file."""
    namespace = Path("/proc/self/ns/mnt")
    return f"{record.resolve()}@{namespace.readlink() if namespace.is_symlink() else ''}"


def _reap_later(process: subprocess.Popen[bytes]) -> None:
    """Let go of the server without a warning; `identity` sees its end, a zombie counting as ended."""
    process.returncode = 0


@contextlib.contextmanager
def _locked(record: Path) -> Iterator[None]:
    descriptor = os.open(record.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(record: Path) -> Daemon | None:
    try:
        return Daemon(**json.loads(record.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None  # written atomically: unreadable means that it is none of ours


@contextlib.contextmanager
def _private(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 whole or not at all, also when killed."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with _private(draft) as descriptor:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    draft.replace(path)


def _tail(record: Path, lines: int = 12) -> str:
    text = log_of(record).read_text(errors="replace")
    said, _, _ = text.partition("\ngoroutine ")  # a Go program's last word stands before its stacks
    return "\n".join(said.splitlines()[-lines:])
