"""Who works under a root right now: each command leaves a record, and a dead one's record counts for nothing.

A record is `<root>/at-work/<pid>-<random>.json`. A process id alone may by now be a stranger's, so it counts
only with the start time that stands beside it. Nothing is signalled that is not recorded here.
"""

import json
import os
import secrets
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psutil

from pipelines.surroundings.servers import make_root
from storage import daemon

FOLDER = "at-work"
_RANK, _AGENT = "lstm.training.worker", "lstm.training.agent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A process that works under this root."""

    pid: int
    started: str
    """Boot and start time of the process; differs for a reused pid."""
    since: datetime
    command: str
    """The command line, as it was typed."""
    run: str | None = None
    """The run that it trains; None: it does something else, or nothing but that yet."""
    steps: int = 0
    """Steps of that run's budget."""
    attempt: str = ""
    """This launch, as the run's commits name it."""
    log: str = ""
    """What its ranks print."""

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return daemon.identity(self.pid) == self.started

    def ranks(self) -> list[int]:
        """Process ids of the ranks that it has started."""
        try:
            family = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return sorted(it.pid for it in family if _is_rank(it))

    @classmethod
    def read(cls, record: Path) -> Self | None:
        """What stands in a record; None where it is none, or is gone."""
        try:
            values = json.loads(record.read_text())
            return cls(**{**values, "since": datetime.fromisoformat(values["since"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None  # written whole: what cannot be read was not written by us


@contextmanager
def at_work(root: Path) -> Iterator[None]:
    """Be known as a command that works under `root`, for as long as the block runs."""
    with _recorded(root, _this_process()):
        yield


@contextmanager
def training(root: Path, *, run: str, steps: int, attempt: str, log: Path) -> Iterator[None]:
    """Be known as the one that trains `run`, for as long as the block runs."""
    mine = {**_this_process(), "run": run, "steps": steps, "attempt": attempt, "log": str(log)}
    with _recorded(root, mine):
        yield


def workers(root: Path) -> list[Work]:
    """Who works under `root`, one entry a process, the oldest first. Forgets the records of the dead."""
    found: dict[int, Work] = {}
    for record in sorted((root / FOLDER).glob("*.json")):
        work = Work.read(record)
        if work is None or not work.alive:
            record.unlink(missing_ok=True)
        elif work.pid not in found or work.run is not None:  # a training says more than its command alone
            found[work.pid] = work
    return sorted(found.values(), key=lambda work: work.since)


def _this_process() -> dict[str, object]:
    started = daemon.identity(os.getpid())
    assert started is not None
    program = Path(sys.argv[0]).name
    command = shlex.join(["carousel" if program == "__main__.py" else program, *sys.argv[1:]])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "started": started, "since": now, "command": command}


@contextmanager
def _recorded(root: Path, values: dict[str, object]) -> Iterator[None]:
    make_root(root)
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    record = folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
    daemon.write_private(record, json.dumps(values, indent=1))
    try:
        yield
    finally:
        with suppress(OSError):  # a folder removed by hand meanwhile
            record.unlink()


def _is_rank(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
        return _RANK in words and _AGENT not in words  # the agent names what it starts
    except psutil.Error:  # it has just ended
        return False
