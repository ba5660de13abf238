"""The demo's run: New York's hourly departure delays, a week of context, a day ahead."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Literal

from lstm.tasks.forecast_config import ForecastConfig
from lstm.training.config import TrainingConfig
from lstm.training.job import Job
from lstm.training.written_by import OtherVersion, job_of
from lstm.windows.spec import SplitSpec, WindowSpec
from pipelines.config.model import PredictionsConfig, RunConfig, TableConfig, TableFormat
from pipelines.config.storage import StorageConfig
from pipelines.config.template import template
from pipelines.demo import flights
from pipelines.display.waiting import waiting
from storage.checkpoints import Repository

RUN = "flights"
CONFIG_FILE = "demo.yaml"
"""Under the root: what the demo ran with, for the commands that look at it afterwards."""


def demo_config(kind: TableFormat) -> RunConfig:
    """The demo's settings, on a Delta or an Iceberg table in the embedded server's bucket."""
    suffix = "" if kind == "delta" else f"-{kind}"
    return RunConfig(
        run=f"{RUN}{suffix}",
        storage=StorageConfig(),
        table=TableConfig(
            uri=f"s3://lake/flights{suffix}",
            format=kind,
            entity=flights.ENTITY,
            time=flights.TIME,
            max_gap=timedelta(hours=1),
        ),
        window=WindowSpec(context=168, horizon=24),
        split=SplitSpec(validation=0.15, test=0.15),
        forecast=ForecastConfig(
            target="delay",
            past=flights.PAST,
            timezone="America/New_York",
            hidden=128,
            scale="asinh",
            shortcut=False,
        ),
        training=TrainingConfig(steps=300),
        predictions=PredictionsConfig(uri=f"s3://lake/predictions{suffix}", format=kind),
    )


def next_name(run: str, job: Job, repository: Repository, *, fresh: bool) -> str:
    """The name under which the demo goes on: that of a run of this very job, or the next one that is free.

    `flights`, `flights-2`, `flights-3`, …: a run's job is frozen, so another job needs another name. Of
    several runs of this job the first one with steps left goes on: a `--fresh` one that was cut short.
    """
    taken = set(repository.runs())
    finished = None
    number = 1
    while (name := run if number == 1 else f"{run}-{number}") in taken:
        state = None if fresh else _state(job, name, repository)
        if state == "unfinished":
            return name
        if state == "finished":
            finished = finished or name
        number += 1
    return finished or name


def _state(job: Job, name: str, repository: Repository) -> Literal["unfinished", "finished"] | None:
    """How a run of this job stands; None: it is of another job."""
    if not repository.commits(name):
        return "unfinished"  # killed before its first commit: nothing is frozen yet
    meta = repository.restore(name, repository.newest_complete(name).id, names=()).meta
    # `carousel resume --ranks` may have changed their number since
    try:
        known = job_of(meta, name).with_ranks(job.training.ranks)
    except OtherVersion:
        return None
    if known != Job.from_json({**job.to_json(), "run": name}):
        return None
    return "finished" if meta["finished"] else "unfinished"


@contextmanager
def only_one(root: Path, tell: Callable[[], None]) -> Iterator[None]:
    """Hold the right to run the demo under `root`; where another has it, say so and wait."""
    descriptor = os.open(root / "demo.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell()
            with waiting("waiting for the other demo's end"):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_config(config: RunConfig, root: Path) -> Path:
    """Keep the demo's settings as a file that explains them."""
    path = root / CONFIG_FILE
    path.write_text(template(config))
    return path
