"""Cluster: write the rows of a table, sorted by entity and time, into another one.

A snapshot is copied into one Parquet file on this machine, a row group at a time, and ingested from there:
that sorts on disk where it must, appends exactly once, and refuses what cannot serve.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from prefect import flow
from pyarrow import parquet

from pipelines.display.waiting import counted
from pipelines.flows.ingest import Ingested, ingest
from pipelines.sources import Reading, Spool, Target
from pipelines.sources.present import RowsPresent
from pipelines.sources.spool import full_disk_told
from pipelines.surroundings.connect import connect
from storage.errors import UserError
from storage.objects import Bucket
from storage.tables import ENTITY_PROPERTY, TIME_PROPERTY, Snapshot, Table, open_table


@flow(flow_run_name="cluster {source}")
def cluster(
    source: str, target: Target, root: Path, reading: Reading, snapshot: str | None = None
) -> Ingested:
    """Write a snapshot's rows into another table, in order. The same snapshot again adds nothing.

    A target holds one snapshot: a newer one has the same rows and more, so it needs a new target.

    Args:
        source: the table that is read, on the target's server.
        target: the table that is written; made if it is new.
        root: folder of the embedded server, and of files while they are read.
        reading: time, entity and columns, and what is done about duplicates; keys that are not named are
            those that the source names itself.
        snapshot: the source's; None: its newest.
    """
    if source.rstrip("/") == target.uri.rstrip("/"):
        raise UserError(f"{source} cannot be clustered into itself; name another table for the sorted rows")
    connection = connect(target.storage, root)
    table = open_table(connection.lake, source)
    pinned = table.snapshot(snapshot)
    columns = reading.columns or tuple(pinned.schema.names)
    if absent := [name for name in columns if name not in pinned.schema.names]:
        raise UserError(f"{source} has no column {absent[0]!r}; it has: {', '.join(pinned.schema.names)}")
    with Spool(root, lambda name: Bucket(name, connection.lake.access)) as spool:
        file = spool.folder / "rows.parquet"
        _copy(pinned, columns, file)
        called = f"{source} (snapshot {pinned.id})"
        try:
            return ingest(target, root, [str(file)], _with_keys(reading, table, pinned.schema), called=called)
        except RowsPresent as error:
            raise UserError(
                f"rows of {called} are in {target.uri} already, as of another snapshot or from elsewhere; "
                "nothing was added, as rows that stand there twice cannot be read as windows. Name another "
                "target for this snapshot"
            ) from error


def _with_keys(reading: Reading, table: Table, schema: pa.Schema) -> Reading:
    """The keys that the table names itself, where nobody names others; whole numbers are no moments."""
    said = table.properties
    if reading.time is None and TIME_PROPERTY in said:
        entity = reading.entity or said.get(ENTITY_PROPERTY)
        reading = replace(reading, time=said[TIME_PROPERTY], entity=entity)
    times = schema.get_field_index(reading.time or "")
    ordinal = times >= 0 and pa.types.is_integer(schema.field(times).type)
    return replace(reading, time_unit="ordinal") if ordinal else reading


def _copy(snapshot: Snapshot, columns: Sequence[str], file: Path) -> None:
    """Write all live rows into one file."""
    rows = sum(it.rows for it in snapshot.files)
    size = sum(it.size for it in snapshot.files)
    schema = pa.schema([snapshot.schema.field(name) for name in columns])
    with (
        full_disk_told(file.parent, 3 * size),
        parquet.ParquetWriter(file, schema, compression="zstd") as out,
    ):
        for group in counted(_groups(snapshot, columns), f"reading {snapshot.table}", rows, "rows"):
            out.write_table(group)


def _groups(snapshot: Snapshot, columns: Sequence[str]) -> Iterator[pa.Table]:
    for file in snapshot.files:
        for group in range(len(snapshot.row_groups(file))):
            yield snapshot.read(file, group, columns)
