"""End what we started under a root: commands at work in order, then the servers that were to be kept.

Only recorded processes are signalled, and only while their start time is the recorded one.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipelines.surroundings.at_work import Work, workers
from pipelines.surroundings.prefect_api import PrefectApi
from pipelines.surroundings.servers import RECORD, end, folder_of, was_killed
from storage import daemon
from storage.local import LocalServer

PATIENCE_S = 30.0
"""How long a command may take to end in order: its ranks first, then the servers it borrowed."""
_POLL_S = 0.1


def others(root: Path) -> list[Work]:
    """Who works under `root` besides this process."""
    return [work for work in workers(root) if work.pid != os.getpid()]


def halt(root: Path, *, force: bool, patience_s: float = PATIENCE_S) -> Iterator[str]:
    """End everything under `root`; says what became of each, as it happens.

    Args:
        root: whose commands and servers.
        force: kill a command that does not end in time.
        patience_s: how long to wait for all of them.
    """
    working = others(root)
    for work in working:
        _send(work, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while any(work.alive for work in working) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    for work in working:
        what = f"process {work.pid} ({work.command})"
        if not work.alive:
            yield f"{what}: it has ended" + (f"; `carousel resume {work.run}` goes on" if work.run else "")
        elif force:
            _send(work, signal.SIGKILL)  # its ranks die with it
            yield f"{what}: it did not end within {patience_s:g} s and was killed"
        else:
            yield f"{what}: it is still ending after {patience_s:g} s; --force kills it"
    for name, kind in (("S3 server", LocalServer), ("Prefect's UI", PrefectApi)):
        if kind.find(folder_of(kind, root)) is not None:
            yield f"{name}: {end(kind, root)}"
        elif was_killed(kind, root):
            daemon.stop(folder_of(kind, root) / RECORD)  # children of it may live on
            yield f"{name}: it was killed; what was left of it has ended, its data stay"


def _send(work: Work, number: signal.Signals) -> None:
    if work.alive:
        with suppress(ProcessLookupError):
            os.kill(work.pid, number)
