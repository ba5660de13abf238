"""Evaluate: a commit's model beside four baselines, on the test windows of the run's own plan."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_table_artifact

from lstm.tasks import evaluate as comparison
from lstm.training.start import pinned_snapshot
from lstm.training.trained import BEST, Trained
from lstm.windows import Batch, Split, WindowReader, WindowStream
from pipelines.config.model import access_of
from pipelines.config.storage import StorageConfig
from pipelines.display.scores import metric_rows
from pipelines.display.waiting import counted
from pipelines.report.gather import chosen
from pipelines.report.publish import Published, make_report
from pipelines.surroundings.connect import Connection, connect

BATCH = 256
"""Windows of one batch; larger ones leave the processor's caches."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One commit's figures."""

    run: str
    commit: str
    step: int
    figures: comparison.Evaluation
    report: Published


@flow(flow_run_name="evaluate {run}")
def evaluate(storage: StorageConfig, run: str, root: Path, commit: str = BEST) -> Evaluated:
    """Forecast every test window once with the model and with the baselines, compare, and report."""
    connection = connect(storage, root)
    trained, why = chosen(connection, run, commit)
    connection = connection.reading(access_of(trained.job.table))
    figures = compare(trained, connection)
    create_table_artifact(
        key="evaluation",
        table=metric_rows(figures),
        description=f"{figures.windows} test windows of {run}, commit {trained.commit.id}: mean absolute "
        f"error of {figures.target!r}, pinball loss and coverage of the interval, over all and by series, "
        "beside the baselines on the same windows",
    )
    return Evaluated(
        run=run,
        commit=trained.commit.id,
        step=trained.commit.step,
        figures=figures,
        report=make_report(connection, trained, figures, why, root),
    )


def compare(trained: Trained, connection: Connection) -> comparison.Evaluation:
    """A commit's model beside the baselines, on the snapshot and the plan that it was trained with."""
    snapshot = pinned_snapshot(trained.job, connection.data)
    trained.plan.check(snapshot)
    training = trained.job.training  # this process takes the place of all ranks
    budget = training.ranks * training.memory_mib << 20
    reader = WindowReader(snapshot, trained.plan, trained.task.features, budget)

    def windows(split: Split) -> WindowStream:
        return WindowStream(trained.plan, reader, split, seed=0, batch_size=BATCH, ordered=True)

    def measured(split: Split, what: str) -> Iterator[Batch]:
        return counted(windows(split), what, trained.plan.windows(split), "windows")

    return comparison.evaluate(
        trained.task,
        trained.model,
        test=measured("test", "measuring on test windows"),
        train=measured("train", "fitting the baselines"),
    )
