"""Start a job's ranks under torchrun on this host, follow them, and never leave one behind.

The ranks meet through a file in a private folder, gloo is bound to the loopback interface, and torchrun's
own store is a file too, so no port listens beyond loopback: docs/decisions/003-ranks-meet-through-a-file.md
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import psutil

from lstm.training.events import Event, parse
from lstm.training.job import Job
from lstm.training.lifeline import PARENT
from lstm.training.ranks import STORE
from lstm.training.worker import ATTEMPT, DATA, DISK_CACHE, JOB, LAKE, RESUME, SPOOL
from storage.errors import UserError
from storage.tables import Lake

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
"""glibc maps and faults an LSTM's buffers anew each step unless told otherwise: half of a CPU step's time."""

_GRACE_S = 5.0
_STOP_S = 25.0
"""Ranks that are asked to end save first; torchrun itself would give them 30 s."""


class TrainingFailed(Exception):
    """The ranks ended without finishing, and not by a mistake of the user."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a launch ended well."""

    commit: str
    step: int
    reason: str
    """`budget` or `early stopping`."""


def launch(
    job: Job,
    lake: Lake,
    *,
    attempt: str,
    resume: bool,
    log: Path,
    on_event: Callable[[Event], None],
    data: Lake | None = None,
    spool: Path | None = None,
    disk_cache: Path | None = None,
    worker: str = "lstm.training.worker",
) -> Outcome:
    """Train `job` to its end; blocks, and calls `on_event` for every event of rank 0.

    Interrupted (Ctrl-C, SIGTERM), it lets the ranks save the state that they have, and tells of that too.

    Args:
        job: what to train; its `training.ranks` processes are started.
        lake: how the ranks reach the bucket; handed to them in their environment.
        attempt: names this launch in the run's head; must be new.
        resume: go on from the newest complete commit; False refuses a run that has commits.
        log: file that takes everything the ranks print which is no event.
        on_event: see `lstm.training.events`.
        data: how the ranks reach the table, if not as the bucket; only read calls go there.
        spool: folder that keeps checkpoints while the bucket is out; None: an outage ends training.
        disk_cache: folder for the table's bytes, if the job wants any kept on this host; None: none are.
        worker: module that each rank runs.

    Raises:
        UserError: a rank met a mistake that the user can mend.
        TrainingFailed: anything else; the message names the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # By our pid in its name one sees later whether a folder that a `kill -9` left behind is still needed.
    with tempfile.TemporaryDirectory(prefix=f"carousel-{os.getpid()}-") as meeting, log.open("a") as sink:
        environment = {
            **os.environ,
            **ALLOCATOR,
            PARENT: str(os.getpid()),
            STORE: f"{meeting}/ranks",
            JOB: json.dumps(job.to_json()),
            LAKE: json.dumps(asdict(lake)),
            DATA: json.dumps(asdict(data or lake)),
            ATTEMPT: attempt,
            RESUME: "1" if resume else "",
            SPOOL: str(spool or ""),
            DISK_CACHE: str(disk_cache or ""),
            "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
            "OMP_NUM_THREADS": str(job.training.threads_per_rank),
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        with _torchrun(job.training.ranks, worker, meeting, environment, sink.fileno()) as process:
            finished, errors = None, list[Event]()
            try:
                for event in _events(process, sink):
                    if event["event"] == "error":
                        errors.append(event)
                    if event["event"] == "finished":
                        finished = Outcome(event["commit"], event["step"], event["reason"])
                    on_event(event)
            except BaseException as end:
                if not isinstance(end, Exception):  # somebody wants us to stop; nothing is wrong
                    _let_save(process, sink, on_event)
                raise
            status = process.wait()
    if status == 0 and finished is not None:
        return finished
    raise _failure(errors, status, log)


def _events(process: subprocess.Popen[str], sink: TextIO) -> Iterator[Event]:
    """What the ranks tell, until the last of them has gone; anything else they print goes into `sink`."""
    assert process.stdout is not None
    for line in process.stdout:
        event = parse(line)
        if event is None:
            sink.write(line)
        else:
            yield event


def _let_save(process: subprocess.Popen[str], sink: TextIO, on_event: Callable[[Event], None]) -> None:
    """Ask the ranks to save and end, and listen to what becomes of it."""
    process.send_signal(signal.SIGTERM)  # torchrun hands it on
    impatience = threading.Timer(_STOP_S, process.kill)
    impatience.start()
    try:
        for event in _events(process, sink):
            if event["event"] in ("checkpoint", "note"):
                on_event(event)
    finally:
        impatience.cancel()


def _failure(errors: list[Event], status: int, log: Path) -> Exception:
    for event in errors:
        if event["user"]:
            return UserError(event["message"])
    why = errors[0]["message"] if errors else f"the launcher ended with status {status}"
    return TrainingFailed(f"training stopped: {why}; what the ranks printed is in {log}")


@contextmanager
def _torchrun(
    ranks: int, worker: str, meeting: str, environment: dict[str, str], errors: int
) -> Iterator[subprocess.Popen[str]]:
    """torchrun as a child that cannot outlive us; whatever happens, none of its ranks is left."""
    arguments = [
        "--nnodes=1",
        f"--nproc-per-node={ranks}",
        "--max-restarts=0",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={meeting}/agents",
        "--rdzv-conf=store_type=file",
        "--local-addr=127.0.0.1",
        "-m",
        worker,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm.training.agent", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,  # Ctrl-C reaches us, and we end it in order
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End torchrun and every rank (each has a session of its own): first politely, then for good."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for survivor in psutil.wait_procs(family, timeout=_GRACE_S)[1]:
        survivor.kill()
    if process.stdout is not None:
        process.stdout.close()
