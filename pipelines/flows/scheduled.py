"""Flows as deployments call them, by a schedule or by hand: the settings are those of the worker's own file.

`CAROUSEL_CONFIG` names the file and `CAROUSEL_ROOT` the folder of logs, as for the command. What a terminal
would show goes to the run's log.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from io import TextIOBase
from pathlib import Path
from typing import Literal

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from pipelines.config.load import load, validated
from pipelines.config.model import RunConfig
from pipelines.demo.settings import demo_config
from pipelines.display import scores, summary
from pipelines.display.terminal import console
from pipelines.flows.demo import demo
from pipelines.flows.score import Scored, score
from pipelines.flows.train import TrainedRun, begun_job, finished_run, has_commits, pinned_job, resume, train
from pipelines.runs.nightly import dated_name, dated_runs, runs_of
from pipelines.surroundings.connect import Connection, connect
from storage.checkpoints import RepositoryMissing
from storage.errors import UserError
from storage.tables import open_table
from storage.tables.errors import TableMissing


@flow(name="demo-stack", flow_run_name="demo {kind}")
def demo_stack(
    kind: Literal["delta", "iceberg"] = "delta", fresh: bool = False, assignments: Sequence[str] = ()
) -> None:
    """The whole path on real data, on the stack's bucket; a run that was cut short goes on.

    Args:
        kind: which kind of tables to make.
        fresh: train a new run, also where one is finished.
        assignments: `section.key=value`, as `--set` takes them.
    """
    storage = _settings().storage.model_dump(mode="json")
    config = validated(
        demo_config(kind).model_dump(mode="json") | {"storage": storage}, assignments=assignments
    )
    with _in_the_log():
        # Started again after a kill, it goes on with what it began afresh.
        done = demo(config, _root(), fresh and flow_run.run_count == 1)
        out = console(stderr=True)
        out.print(scores.metric_table(done.evaluated.figures))
        out.print(scores.verdict(done.evaluated.figures))
        out.print(f"table {done.ingested.table}, snapshot {done.trained.snapshot}")
        out.print(summary.trained_line(done.trained))
        out.print(summary.scored_line(done.scored))


@flow(name="train-nightly")
def train_nightly(assignments: Sequence[str] = ()) -> State[None]:
    """Train a run named by today's date (UTC), unless one was cut short: then that one goes on.

    Where neither the table nor the settings have changed since the newest run, there is nothing to learn. A
    run that cannot go on, because its snapshot is gone say, is told of and left to a person.
    """
    config = _settings(assignments)
    connection, root = _connection(config), _root()
    with _in_the_log():
        newest = next(iter(dated_runs(config.run, _begun(connection))), None)
        tonight = dated_name(config.run, datetime.now(UTC).date())
        if newest is None:
            if not _has_table(config, connection):
                return _told(f"no table yet at {config.table.uri}: nothing to learn from")
        elif finished_run(connection, newest) is None:
            try:
                return _told(summary.trained_line(resume(config.storage, newest, root)))
            except UserError as error:
                if newest == tonight:
                    raise
                get_run_logger().warning("run %s cannot go on, so %s begins: %s", newest, tonight, error)
        elif newest == tonight:
            return _told(f"run {newest} is finished already")
        elif _same_job(config.named(newest), connection, root):
            return _told(f"nothing has changed since run {newest}")
        trained: TrainedRun = train(config.named(tonight), root)
        return _told(summary.trained_line(trained))


@flow(name="score-hourly")
def score_hourly(assignments: Sequence[str] = ()) -> State[None]:
    """Forecast from the table's newest rows with the best commit of the run that was finished last."""
    config = _settings(assignments)
    connection = _connection(config)
    with _in_the_log():
        run = _newest_finished(config.run, connection)
        if run is None:
            return _told(f"no run of {config.run!r} is finished yet: nothing to score with")
        done: Scored = score(config.named(run), _root())
        return _told(summary.scored_line(done))


def _settings(assignments: Sequence[str] = ()) -> RunConfig:
    return load(Path(os.environ.get("CAROUSEL_CONFIG", "carousel.yaml")), assignments=assignments)


def _connection(config: RunConfig) -> Connection:
    return connect(config.storage, _root(), config.table.access)


def _root() -> Path:
    return Path(os.environ.get("CAROUSEL_ROOT", ".carousel"))


def _has_table(config: RunConfig, connection: Connection) -> bool:
    try:
        open_table(connection.data, config.table.uri, format=config.table.format).snapshot()
    except TableMissing:
        return False
    return True


def _begun(connection: Connection) -> list[str]:
    """Runs that have commits."""
    try:
        names = connection.existing_repository().runs()
    except RepositoryMissing:
        return []
    return [name for name in names if has_commits(connection, name)]


def _newest_finished(run: str, connection: Connection) -> str | None:
    """Of the runs named after `run` that are finished, the one whose last commit is the newest."""
    repository_runs = runs_of(run, _begun(connection))
    if not repository_runs:
        return None
    repository = connection.existing_repository()
    newest_first = sorted(
        repository_runs,
        key=lambda name: max(commit.created for commit in repository.commits(name)),
        reverse=True,
    )
    return next((name for name in newest_first if finished_run(connection, name) is not None), None)


def _same_job(config: RunConfig, connection: Connection, root: Path) -> bool:
    before = begun_job(connection, config.run, root)
    return pinned_job(config, connection).with_ranks(before.training.ranks) == before


def _told(text: str) -> State[None]:
    console(stderr=True).print(text)
    return Completed(message=text)


@contextmanager
def _in_the_log() -> Iterator[None]:
    """What is written for a terminal becomes lines of this run's log, which Prefect keeps and shows."""
    lines = _Lines()
    try:
        with redirect_stderr(lines):
            yield
    finally:
        lines.flush()


class _Lines(TextIOBase):
    def __init__(self) -> None:
        self._log = get_run_logger()
        self._rest = ""

    def write(self, text: str) -> int:
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            if line.strip():
                self._log.info("%s", line.rstrip())
        return len(text)

    def flush(self) -> None:
        if self._rest.strip():
            self.write("\n")

    def fileno(self) -> int:  # rich and others ask whether it is a terminal
        return sys.__stderr__.fileno() if sys.__stderr__ is not None else super().fileno()
