"""Ingest: append the rows of a source to the run's table, exactly once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from pipelines.config.model import RunConfig
from pipelines.connect import connect
from pipelines.sources import in_order, read_source
from storage.tables import Appended, create_table

ROW_GROUP_ROWS = 8760
"""A year of hours: one series of the demo. Small row groups let many ranks share a small table."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What one ingest did."""

    table: str
    snapshot: str
    added: int
    """Rows that were not there before."""
    known: int
    """Rows whose append had landed before."""


@flow(flow_run_name="ingest {config.table.uri}")
def ingest(config: RunConfig, root: Path, sources: Sequence[str]) -> Ingested:
    """Append files, or the demo's package, to the run's table; makes the table if it is new."""
    connection = connect(config.storage, root)
    appended: list[tuple[str, Appended]] = []
    for source in read_source(sources):
        rows = in_order(source.rows, config.table.entity, config.table.time)
        table = create_table(
            connection.lake,
            config.table.uri,
            rows.schema,
            format=config.table.format,
            row_group_rows=ROW_GROUP_ROWS,
        )
        done = table.append(rows, transaction=source.transaction)
        get_run_logger().info("%s: %d rows, %s", source.name, done.rows, _outcome(done))
        appended.append((source.name, done))
    create_table_artifact(
        key="ingest",
        table=[
            {"source": name, "rows": done.rows, "outcome": _outcome(done), "snapshot": done.snapshot_id}
            for name, done in appended
        ],
        description=f"Rows given to {config.table.uri} ({config.table.format})",
    )
    return Ingested(
        table=config.table.uri,
        snapshot=appended[-1][1].snapshot_id,
        added=sum(done.rows for _, done in appended if done.added),
        known=sum(done.rows for _, done in appended if not done.added),
    )


def _outcome(done: Appended) -> str:
    return "added" if done.added else "known already"
