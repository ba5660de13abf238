"""Score: forecast every series' next horizon with one commit, and append it to the predictions table."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from prefect import flow
from prefect.artifacts import create_table_artifact

from lstm.training.job import Job
from lstm.training.planning import plan_for
from lstm.training.trained import BEST, Trained
from lstm.windows import Plan, WindowReader, last_contexts
from pipelines.config.model import RunConfig, access_of
from pipelines.display.waiting import waiting
from pipelines.predictions.publish import publish
from pipelines.predictions.rows import prediction_rows, prediction_schema, shown_rows
from pipelines.runs.preparation import restored
from pipelines.surroundings.connect import Connection, connect
from storage.tables import Snapshot, create_table, open_table

SHOWN = 500
"""Rows of the artifact; the table holds them all."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One forecast of all series."""

    table: str
    snapshot: str
    """Snapshot of the source table that the contexts come from."""
    commit: str
    rows: int
    """Rows forecast."""
    added: int
    """Rows of them that the table lacked: those of another series or time than any before of this commit."""
    skipped: tuple[str, ...]
    """Series too short for a context."""
    unmeasured: tuple[str, ...]
    """With scale `series`: those that had no training row, forecast in the unit of the whole table."""
    forecasts: pa.Table


@flow(flow_run_name="score {config.run}")
def score(config: RunConfig, root: Path, commit: str = BEST, snapshot: str | None = None) -> Scored:
    """Forecast from the newest rows of the table: of `snapshot`, or the newest one."""
    connection = connect(config.storage, root)
    trained = restored(connection, config.run, commit)
    connection = connection.reading(access_of(trained.job.table, config.table))
    source = open_table(connection.data, trained.job.table.uri, format=trained.job.table.format)
    pinned = source.snapshot(snapshot)
    with waiting("looking through the table's rows"):
        plan = _plan(trained, pinned, connection)
    task = trained.task.on(plan)
    with waiting("reading the newest rows"):
        contexts = last_contexts(plan, WindowReader(pinned, plan, task.features))
    schema = prediction_schema(task.config.quantiles, pinned.schema.field(trained.job.table.time).type)
    with waiting("forecasting"):
        rows = prediction_rows(
            task.predict(trained.model, task.inputs(contexts.batch)),
            contexts.batch,
            names=plan.series,
            schema=schema,
            snapshot=pinned.id,
            commit=trained.commit.id,
            run=config.run,
        )
    with waiting(f"appending to {config.predictions.uri}"):
        target = create_table(
            connection.lake,
            config.predictions.uri,
            schema,
            format=config.predictions.format,
        )
        added = publish(target, rows, commit=trained.commit.id)
    create_table_artifact(
        key="predictions",
        table=shown_rows(rows.slice(0, SHOWN)),
        description=f"Forecast of {config.run}/{trained.commit.id} from snapshot {pinned.id}; "
        f"the first {min(SHOWN, rows.num_rows)} of {rows.num_rows} rows of {config.predictions.uri}",
    )
    return Scored(
        table=config.predictions.uri,
        snapshot=pinned.id,
        commit=trained.commit.id,
        rows=rows.num_rows,
        added=added,
        skipped=tuple(str(name) for name in contexts.skipped),
        unmeasured=tuple(str(name) for name in task.unmeasured),
        forecasts=rows,
    )


def _plan(trained: Trained, snapshot: Snapshot, connection: Connection) -> Plan:
    """The run's plan where it fits; on another snapshot, which has other rows, one of its own."""
    job: Job = trained.job
    if snapshot.id == job.table.snapshot:
        trained.plan.check(snapshot)
        return trained.plan
    return plan_for(job, snapshot, connection.bucket)
