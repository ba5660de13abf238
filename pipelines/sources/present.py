"""Rows that a table has already: another file with them would leave it with each twice.

A file's own appends are known by their names. Rows that came in another file are known by their keys only:
by the times that each series has in the table's files, of which those are read whose times can meet.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from lstm.windows import WindowError
from lstm.windows.index.file_index import scan
from lstm.windows.index.runs import Entity
from lstm.windows.table.columns import times_of
from lstm.windows.table.keys import Keys, keys_for
from pipelines.sources.body import Body
from pipelines.sources.collect import Collected
from storage.errors import UserError
from storage.tables import DataFile, Snapshot

_Span = tuple[int, int]


class RowsPresent(UserError):
    """A table has rows, from other files, at or between the times of a file's rows."""


@dataclass(frozen=True, slots=True)
class _Met:
    """A series of a body whose times meet the table's."""

    series: Entity
    ours: _Span
    newest: int
    """Of the table's times, in the files that were read."""


def refuse_present(found: Collected, snapshot: Snapshot, landed: Callable[[Body], bool]) -> None:
    """Refuse bodies with times of a series at which, or between which, the table has rows.

    Args:
        found: the bodies.
        snapshot: the table as it is.
        landed: whether rows of a body are there by its own appends: it may go on, or be known.

    Raises:
        RowsPresent: the table has such rows.
    """
    decided = found.decided
    keys = keys_for(snapshot.schema, decided.entity, decided.time, None)
    low, high = (pc.min(found.ranges["first"]).as_py(), pc.max(found.ranges["last"]).as_py())
    files = [it for it in snapshot.files if it.rows and _may_meet(it, snapshot, keys, low, high)]
    if not files:
        return
    there: dict[Entity, list[_Span]] = {}
    for file in files:
        for series, span in _spans(snapshot, file, keys):
            there.setdefault(series, []).append(span)
    for number, body in enumerate(found.bodies):
        ours = found.ranges.filter(pc.equal(found.ranges["piece"], number))
        met = [
            _Met(row["series"], (row["first"], row["last"]), max(it[1] for it in there[row["series"]]))
            for row in ours.to_pylist()
            if any(
                first <= row["last"] and last >= row["first"] for first, last in there.get(row["series"], ())
            )
        ]
        if met and not landed(body):
            _refuse(body, met, keys, snapshot.table)


def _may_meet(file: DataFile, snapshot: Snapshot, keys: Keys, low: int, high: int) -> bool:
    """Whether a file can have rows from `low` to `high`, by its statistics."""
    bounds = file.statistics.get(keys.time)
    if bounds is None or bounds.min is None or bounds.max is None:
        return True
    column = pa.chunked_array([pa.array([bounds.min, bounds.max], snapshot.schema.field(keys.time).type)])
    first, last = times_of(column, keys.time)
    return bool(first <= high and last >= low)


def _spans(snapshot: Snapshot, file: DataFile, keys: Keys) -> Iterator[tuple[Entity, _Span]]:
    """First and last time of each series in each row group."""
    try:
        index = scan(snapshot, file, keys)
    except WindowError:  # rows in no order: what reads windows refuses this table, whatever is added
        return
    for code, first, last in zip(index.entity, index.first_time, index.last_time, strict=True):
        yield index.entities[code], (int(first), int(last))


def _refuse(body: Body, met: Sequence[_Met], keys: Keys, table: str) -> NoReturn:
    one = met[0]
    whose = "" if keys.entity is None else f" of {keys.entity} {one.series!r}"
    more = f" (and of {len(met) - 1:,} more series)" if len(met) > 1 else ""
    newest = keys.say(one.newest)
    raise RowsPresent(
        f"{body.name} has rows{whose} from {keys.say(one.ours[0])} to {keys.say(one.ours[1])}, and {table} "
        f"has such rows from other files, up to {newest}{more}; nothing was added, as rows that stand there "
        f"twice cannot be read as windows. Keep only rows after {newest} in the file, or ingest the whole "
        "file into a new table: --table"
    )
