"""Train: pin the table's snapshot and follow the ranks; or go on with a run that was cut short."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from lstm.training.events import Event
from lstm.training.job import Job
from lstm.training.launch import launch
from lstm.training.moving import moved_job
from lstm.training.planning import plan_for
from lstm.training.start import pinned_snapshot
from lstm.training.written_by import job_of
from pipelines.config.model import RunConfig, access_of
from pipelines.config.storage import StorageConfig
from pipelines.display.figures import stored_and_raw
from pipelines.display.progress import TrainingProgress
from pipelines.display.terminal import console, warn
from pipelines.display.waiting import waiting
from pipelines.report.attempts import EventLog, folder
from pipelines.runs.near import hint
from pipelines.runs.preparation import plan_line
from pipelines.surroundings.at_work import training, workers
from pipelines.surroundings.connect import Connection, connect
from storage.checkpoints import HeadLost, RunMissing
from storage.daemon import write_private
from storage.errors import UserError
from storage.tables import open_table

NEWEST = "newest"
"""In the place of a snapshot's id: the newest one."""


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """How a run stands at its end."""

    run: str
    commit: str
    """Its last commit."""
    step: int
    reason: str
    """`budget` or `early stopping`."""
    snapshot: str
    commits: int
    stored_bytes: int
    """Bytes that all its commits added to the repository."""
    raw_bytes: int
    """Bytes of the states that they hold."""


@flow(flow_run_name="train {config.run}")
def train(config: RunConfig, root: Path) -> TrainedRun:
    """Train a new run on the newest snapshot of its table, or the one that the settings pin."""
    connection = connect(config.storage, root, config.table.access)
    connection.repository()  # made if new; refuses a server that would lose checkpoints
    _check_new(connection, config.run, root)
    job = pinned_job(config, connection)
    with waiting("looking through the table's rows"):
        plan = plan_for(job, pinned_snapshot(job, connection.data), connection.bucket)
    console(stderr=True).print(f"  {plan_line(plan, job.order)}")
    if not plan.windows("test"):
        warn("no test windows, so `carousel evaluate` will measure nothing")
    return follow(job, connection, root, resume=False)


@flow(flow_run_name="resume {run}")
def resume(
    storage: StorageConfig,
    run: str,
    root: Path,
    ranks: int | None = None,
    snapshot: str | None = None,
) -> TrainedRun:
    """Go on with a run from its newest complete commit, as if it had never stopped.

    Args:
        storage: where the run is.
        run: its name.
        root: folder of this machine's state.
        ranks: another number of them sees the same windows in the same batches, but not the same bits.
        snapshot: go on with that snapshot of the table, or the `newest`; None: with the run's own.
    """
    connection = connect(storage, root)
    job = begun_job(connection, run, root)
    connection = connection.reading(access_of(job.table))
    if snapshot is not None:
        job = _moved(job, connection, None if snapshot == NEWEST else snapshot)
    return follow(job if ranks is None else job.with_ranks(ranks), connection, root, resume=True)


def _moved(job: Job, connection: Connection, snapshot: str | None) -> Job:
    """The job on another snapshot; what is wrong with that one is told before anything is changed."""
    moved = moved_job(job, open_table(connection.data, job.table.uri, format=job.table.format), snapshot)
    if moved.table.snapshot == job.table.snapshot:
        console(stderr=True).print(f"  the run reads snapshot {job.table.snapshot} already")
        return job
    with waiting("looking through the table's rows"):
        plan = plan_for(moved, pinned_snapshot(moved, connection.data), connection.bucket)
    console(stderr=True).print(f"  {plan_line(plan, moved.order)}")
    return moved


def pinned_job(config: RunConfig, connection: Connection) -> Job:
    """The job of a new run: its snapshot is pinned here, and nothing later looks at "latest"."""
    table = open_table(connection.data, config.table.uri, format=config.table.format)
    return config.job(table.snapshot(config.table.snapshot).id)


def begun_job(connection: Connection, run: str, root: Path) -> Job:
    """The job that a run froze in its commits; of one that has none yet, as it was launched here.

    Raises:
        UserError: there is no such run, neither in the repository nor among those launched from `root`.
    """
    if has_commits(connection, run):
        repository = connection.existing_repository()
        newest = repository.newest_complete(run).id
        return job_of(repository.restore(run, newest, names=()).meta, f"{run}/{newest}")
    launched = _launched(run, root)
    if not launched.exists():
        names = hint(run, connection.existing_repository().runs())
        raise UserError(
            f"run {run!r} has no commit to go on from; {names} (to begin it: carousel train --set run={run})"
        )
    return Job.from_json(json.loads(launched.read_text()))


def _check_new(connection: Connection, run: str, root: Path) -> None:
    """Refuse a name that is taken; what can be done depends on how that run stands."""
    other = "give this run another name: --run NAME with --table, else --set run=NAME"
    trainer = next((work for work in workers(root) if work.run == run), None)
    if trainer is not None:
        raise UserError(f"process {trainer.pid} trains run {run!r} now (`carousel status`); or {other}")
    if not has_commits(connection, run):
        return
    if (done := finished_run(connection, run)) is not None:
        raise UserError(f"run {run!r} is finished, with {done.step:,} steps; to train another, {other}")
    raise UserError(f"run {run!r} has begun already; `carousel resume {run}` goes on with it, or {other}")


def _launched(run: str, root: Path) -> Path:
    return root / "runs" / f"{run}.json"


def has_commits(connection: Connection, run: str) -> bool:
    """Whether a run has begun. One that was killed before its first commit has not: `train` begins it.

    Raises:
        HeadLost: its commits can be told only when it is repaired.
    """
    try:
        return bool(connection.existing_repository().commits(run))
    except HeadLost:
        raise
    except RunMissing:
        return False


def finished_run(connection: Connection, run: str) -> TrainedRun | None:
    """How a run ended, or None while it has steps left, or has lost the packs of its last commit."""
    if not has_commits(connection, run):
        return None
    repository = connection.existing_repository()
    newest = repository.restore(run, repository.newest_complete(run).id, names=())
    job = job_of(newest.meta, f"{run}/{newest.commit.id}")
    if not newest.meta["finished"]:
        return None
    reason = "budget" if newest.commit.step >= job.training.steps else "early stopping"
    return _ended(job, connection, newest.commit.id, newest.commit.step, reason)


def follow(job: Job, connection: Connection, root: Path, *, resume: bool) -> TrainedRun:
    """Start the ranks, show how they get on, and keep the curve as an artifact."""
    launched = _launched(job.run, root)
    launched.parent.mkdir(parents=True, exist_ok=True)
    write_private(launched, json.dumps(job.to_json(), indent=1))
    _caution(connection)
    attempt = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"
    log = root / "logs" / f"{job.run}-{attempt}.log"
    kept = EventLog(connection.bucket, f"{folder(connection.reports, job.run)}/events/{attempt}.jsonl", _told)
    at_work = training(root, run=job.run, steps=job.training.steps, attempt=attempt, log=log)
    told = _telling_when_stopped(job)
    with at_work, kept, told as committed, TrainingProgress(console(stderr=True)) as progress:

        def seen(event: Event) -> None:
            progress(event)
            kept(event)
            committed(event)

        outcome = launch(
            job,
            connection.lake,
            attempt=attempt,
            resume=resume,
            log=log,
            on_event=seen,
            data=connection.data,
            spool=root / "spool",
            disk_cache=root / "table-cache",
        )
    commits = connection.existing_repository().commits(job.run)
    create_table_artifact(
        key="training",
        table=[
            {
                "step": commit.step,
                "commit": commit.id,
                **{name: round(value, 6) for name, value in commit.metrics.items()},
                "raw_bytes": commit.raw_bytes,
                "new_bytes": commit.new_bytes,
            }
            for commit in commits
        ],
        description=f"Commits of run {job.run}: losses and stored bytes; ended by {outcome.reason}",
    )
    return _ended(job, connection, outcome.commit, outcome.step, outcome.reason)


@contextmanager
def _telling_when_stopped(job: Job) -> Iterator[Callable[[Event], None]]:
    """After Ctrl-C or SIGTERM, once the ranks have ended: say where the run stands, and how it goes on."""
    steps: list[int] = []

    def seen(event: Event) -> None:
        if event["event"] in ("started", "checkpoint"):  # training starts from a commit
            steps.append(event["step"])

    try:
        yield seen
    except BaseException as end:
        if not isinstance(end, Exception):  # KeyboardInterrupt, SystemExit, and Prefect's own for SIGTERM
            stands = f"the newest commit is step {steps[-1]:,} of {job.training.steps:,}: " if steps else ""
            console(stderr=True).print(f"  stopped; {stands}`carousel resume {job.run}` goes on")
        raise


def _caution(connection: Connection) -> None:
    """Settings of the bucket that cost money or lose checkpoints: on the terminal and in Prefect."""
    for caution in connection.bucket.cautions():
        _told(caution)


def _told(warning: str) -> None:
    warn(warning)
    get_run_logger().warning("%s", warning)


def _ended(job: Job, connection: Connection, commit: str, step: int, reason: str) -> TrainedRun:
    commits = connection.existing_repository().commits(job.run)
    stored, raw = stored_and_raw(commits)
    return TrainedRun(
        run=job.run,
        commit=commit,
        step=step,
        reason=reason,
        snapshot=job.table.snapshot,
        commits=len(commits),
        stored_bytes=stored,
        raw_bytes=raw,
    )
