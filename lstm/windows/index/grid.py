"""A regular grid: of the rows that a series lacks between two that it has, how many stand where.

A series' grid begins with its first row. The rows that are missing after a row belong to its row group, also
where the row after them stands in another file: so every row group is read with what fills it, whatever way
the table lies. Where two rows are further apart than `max_gap`, nothing is filled, and the series is cut.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lstm.windows.errors import GridTooFine, MissingColumn, OffGrid
from lstm.windows.index.runs import OFF_GRID_REMEDY, Entity
from lstm.windows.index.segments import Links, Pieces
from lstm.windows.table.keys import Keys

OBSERVED = "observed"
"""The column, boolean, that tells rows which stand in the table from those which a grid fills in."""
MOST = 10
"""Rows that are filled in for each that stands in the table, unless `max_gap` says which gaps are meant."""
_FEW = 100_000
"""Rows that are always filled in."""
MOST_OF_A_GROUP = 16
"""Rows of a row group on the grid for each that it has in the table: memory holds it while it is read."""
_FEW_OF_A_GROUP = 2**22
"""Rows that a row group may always have, some 110 MiB while the nulls of a column are looked for."""


def gridded(schema: pa.Schema, keys: Keys) -> pa.Schema:
    """The columns of a table on a grid: all but the keys may lack a value, and `observed` is the last one.

    Raises:
        MissingColumn: the table has a column of that name.
    """
    if OBSERVED in schema.names:
        raise MissingColumn(
            f"the table has a column {OBSERVED!r}, the name that is kept for what tells its rows from those "
            "that the grid fills in; rename it, or leave grid out"
        )
    fields = [field if field.name in keys.columns else field.with_nullable(True) for field in schema]
    return pa.schema([*fields, pa.field(OBSERVED, pa.bool_(), nullable=False)])


def filled(pieces: Pieces, links: Links, keys: Keys, series: Sequence[Entity]) -> Pieces:
    """The pieces as they are with the rows that the grid adds inside and after them; O(n).

    Args:
        pieces: of the table's rows, each on the grid of its own first row.
        links: how they follow each other; none overlap.
        keys: whose grid it is.
        series: what their numbers stand for.

    Raises:
        OffGrid: a piece is not on the grid of its series.
        GridTooFine: rows would be added beyond measure.
    """
    assert keys.grid is not None
    order, grid = links.order, keys.grid
    ordered = pieces.series[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    origin = np.zeros(len(series), np.int64)
    origin[ordered[begins]] = pieces.first_time[order[begins]]
    off = (pieces.first_time - origin[pieces.series]) % grid != 0
    if off.any():
        _refuse(pieces, order[off[order]], keys, series, origin)
    last = pieces.last_time.copy()
    goes_on = np.ones(len(order), np.bool_)
    goes_on[links.cuts] = False
    after = np.flatnonzero(goes_on)
    last[order[after - 1]] = pieces.first_time[order[after]] - grid
    rows = (last - pieces.first_time) // grid + 1
    _check_count(pieces, rows, keys, series)
    edges = np.concatenate([[0], np.cumsum(rows)])
    ends = np.cumsum(pieces.group_rows)
    held = np.searchsorted(np.cumsum(pieces.rows, dtype=np.int64), ends, side="right")
    group_rows = np.diff(edges[held], prepend=0)
    most = np.minimum(np.maximum(MOST_OF_A_GROUP * pieces.group_rows, _FEW_OF_A_GROUP), 2**31 - 1)
    if (group_rows > most).any():
        worst = int((group_rows - most).argmax())
        raise GridTooFine(
            f"a row group of {int(pieces.group_rows[worst]):,} rows would have {int(group_rows[worst]):,} "
            f"on a grid of {keys.say_length(grid)}, of at most {int(most[worst]):,} that are read at once; "
            "choose a longer grid, or a shorter max_gap, which cuts a series where more rows are missing"
        )
    return replace(
        pieces,
        group_rows=group_rows,
        rows=rows.astype(np.int32),
        last_time=last,
        stored=pieces.rows,
    )


def _refuse(
    pieces: Pieces,
    off: NDArray[np.integer],
    keys: Keys,
    series: Sequence[Entity],
    origin: NDArray[np.int64],
) -> NoReturn:
    """Tell of the first piece that is off the grid of its series."""
    assert keys.grid is not None
    first, say = int(off[0]), keys.say_length
    number, time = int(pieces.series[first]), int(pieces.first_time[first])
    begin = int(origin[number])
    of = "" if keys.entity is None else f" of {keys.entity} {series[number]!r}"
    raise OffGrid(
        f"the row{of} at {keys.say(time)} is off the grid of {say(keys.grid)}: it comes "
        f"{say(time - begin)} after the first row of its series, at {keys.say(begin)} ({len(off)} such "
        f"stretches of rows in all); {OFF_GRID_REMEDY}"
    )


def _check_count(pieces: Pieces, rows: NDArray[np.int64], keys: Keys, series: Sequence[Entity]) -> None:
    """Raise GridTooFine where a gap that nobody thought of, or a grid too fine, makes most of the rows."""
    added, stored = rows - pieces.rows, int(pieces.rows.sum(dtype=np.int64))
    total = int(added.sum())
    if keys.max_gap is not None or total <= max(_FEW, MOST * stored):
        return
    by_series = np.zeros(len(series), np.int64)
    np.add.at(by_series, pieces.series, added)
    most = int(by_series.argmax())
    own = np.flatnonzero(pieces.series == most)
    first, last = int(pieces.first_time[own].min()), int(pieces.last_time[own].max())
    of = "" if keys.entity is None else f" to {keys.entity} {series[most]!r}"
    assert keys.grid is not None
    raise GridTooFine(
        f"a grid of {keys.say_length(keys.grid)} would add {total:,} rows without a value to {stored:,}, "
        f"more than {MOST} for each: {int(by_series[most]):,} of them{of}, which has "
        f"{int(pieces.rows[own].sum(dtype=np.int64)):,} rows from {keys.say(first)} to {keys.say(last)}; "
        "choose a longer grid, or say with max_gap beyond which gap a series is cut and nothing is added"
    )
