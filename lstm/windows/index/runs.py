"""Find the pieces of one row group: runs of one entity without a gap, in order of time."""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lstm.windows.errors import DuplicateRows, NullKey, OffGrid, UnsortedTable, WrongColumnType
from lstm.windows.table.columns import entities_of, nulls_of, times_of
from lstm.windows.table.keys import FURTHEST, Keys

Entity = str | int | None
"""A value of the entity column; None: the table has no such column."""

REMEDY = (
    "windows are read in runs, and here there would be too many; `carousel tables cluster` writes the rows, "
    "sorted by entity and time, into another table"
)
OFF_GRID_REMEDY = (
    "choose a grid that the times lie on, round them to it when the table is written, or leave grid out "
    "(max_gap cuts series where rows are missing)"
)
_STEPS_KEPT = 16


@dataclass(frozen=True, slots=True)
class Runs:
    """The pieces of one row group; together they tile its rows."""

    entities: list[str] | list[int] | list[None]
    """Values that `entity` counts into."""
    entity: NDArray[np.int64]
    """[n pieces] place in `entities`."""
    rows: NDArray[np.int64]
    first_time: NDArray[np.int64]
    last_time: NDArray[np.int64]
    regular: NDArray[np.bool_]
    """Whether all steps inside the piece are equal, so that its times need not be read again."""
    steps: dict[int, int]
    """How often the most usual times between neighbouring rows of a piece occur."""


def runs_of(table: pa.Table, keys: Keys, where: str) -> Runs:
    """Find the pieces of a row group.

    Args:
        table: the key columns of its live rows, in file order.
        keys: which columns these are.
        where: the row group, for messages.

    Raises:
        NullKey, WrongColumnType, DuplicateRows, UnsortedTable, OffGrid: the rows cannot serve.
    """
    for name in keys.columns:
        if nulls := nulls_of(table.column(name)):
            raise NullKey(
                f"{nulls} of {table.num_rows} rows of {where} have no value in key column {name!r}; "
                "remove these rows or give them a key"
            )
    times = times_of(table.column(keys.time), keys.time)
    _check_range(times, keys, where)
    entities: list[str] | list[int] | list[None] = [None]
    code = np.zeros(len(times), np.int64)
    if keys.entity is not None:
        code, entities = entities_of(table.column(keys.entity), keys.entity)
    same = code[1:] == code[:-1]
    step = np.diff(times)
    problem = _Problem(keys, where, times, code, entities)
    if not np.all(step[same] > 0):
        problem.raise_for_steps(same, step)
    if keys.grid is not None and np.any(step[same] % keys.grid):
        problem.raise_for_grid(same, step, keys.grid)
    run_first = np.flatnonzero(np.concatenate([[True], ~same]))[: len(times)]
    if len(run_first) > len(entities):
        problem.raise_for_scattered(run_first)
    cut = ~same if keys.max_gap is None else ~same | (step > keys.max_gap)
    first = np.flatnonzero(np.concatenate([[True], cut]))[: len(times)]
    rows = np.diff(np.concatenate([first, [len(times)]]))
    values, counts = np.unique(step[~cut], return_counts=True)
    usual = np.lexsort((values, -counts))[:_STEPS_KEPT]
    return Runs(
        entities=entities,
        entity=code[first],
        rows=rows,
        first_time=times[first],
        last_time=times[first + rows - 1],
        regular=_regular(first, rows, step, cut),
        steps={int(values[i]): int(counts[i]) for i in usual},
    )


def _check_range(times: NDArray[np.int64], keys: Keys, where: str) -> None:
    if not len(times) or (times.min() >= -FURTHEST and times.max() <= FURTHEST):
        return
    beyond = np.flatnonzero((times < -FURTHEST) | (times > FURTHEST))
    row = int(beyond[0])
    raise WrongColumnType(
        f"{len(beyond)} of {len(times)} rows of {where} have a time beyond {FURTHEST:,} "
        f"{'' if keys.ordinal else 'microseconds '}in column {keys.time!r}, the first {int(times[row]):,} in "
        f"row {row}: some systems write so that a time is not known, or has no end; leave such rows out"
    )


def _regular(
    first: NDArray[np.int64], rows: NDArray[np.int64], step: NDArray[np.int64], cut: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """[n pieces] whether every step inside a piece equals its first step."""
    if not len(step):
        return np.ones(len(first), np.bool_)
    piece = np.repeat(np.arange(len(first)), rows)[:-1]
    first_step = step[np.minimum(first, len(step) - 1)]
    differs = ~cut & (step != first_step[piece])
    regular = np.ones(len(first), np.bool_)
    regular[piece[differs]] = False
    return regular


@dataclass(frozen=True, slots=True)
class _Problem:
    """What is needed to say where rows are out of order."""

    keys: Keys
    where: str
    times: NDArray[np.int64]
    code: NDArray[np.int64]
    entities: list[str] | list[int] | list[None]

    def raise_for_steps(self, same: NDArray[np.bool_], step: NDArray[np.int64]) -> NoReturn:
        back = np.flatnonzero(same & (step < 0))
        if len(back):
            row = int(back[0])
            raise UnsortedTable(
                f"time goes back {len(back)} times in {self.where}, first from {self._time(row)} in row "
                f"{row} to {self._time(row + 1)} in row {row + 1}{self._of(row)}; {REMEDY}"
            )
        row = int(np.flatnonzero(same & (step == 0))[0])
        self.raise_for_duplicates(row)

    def raise_for_grid(self, same: NDArray[np.bool_], step: NDArray[np.int64], grid: int) -> NoReturn:
        say, off = self.keys.say_length, np.flatnonzero(same & (step % grid != 0))
        row = int(off[0]) + 1
        common = int(np.gcd.reduce(step[same]))
        raise OffGrid(
            f"{len(off)} of {len(self.times)} rows in {self.where} are off the grid of {say(grid)}: the first"
            f"{self._of(row)}, at {self._time(row)} in row {row}, comes {say(int(step[row - 1]))} after the "
            f"row before it; the steps of this row group are multiples of {say(common)}; "
            f"{OFF_GRID_REMEDY}"
        )

    def raise_for_duplicates(self, row: int) -> NoReturn:
        alike = int(np.sum((self.code == self.code[row]) & (self.times == self.times[row])))
        raise DuplicateRows(
            f"{alike} rows{self._of(row)} have the same time {self._time(row)} in {self.where} (row {row} is "
            "the first); keep one row per (entity, time)"
        )

    def raise_for_scattered(self, run_first: NDArray[np.int64]) -> NoReturn:
        # Sorted by (entity, time) they would stand in one run each; the same key twice is the graver fault.
        order = np.lexsort((self.times, self.code))
        code, times = self.code[order], self.times[order]
        twice = np.flatnonzero((code[1:] == code[:-1]) & (times[1:] == times[:-1]))
        if len(twice):
            self.raise_for_duplicates(int(order[twice[0]]))
        _, first_run = np.unique(self.code[run_first], return_index=True)
        again = int(np.setdiff1d(np.arange(len(run_first)), first_run)[0])
        row = int(run_first[again])
        raise UnsortedTable(
            f"the {len(self.times)} rows of {self.where} are {len(run_first)} runs of {len(self.entities)} "
            f"entities, so entities are scattered: row {row} is one more run{self._of(row)}; {REMEDY}"
        )

    def _time(self, row: int) -> str:
        return self.keys.say(int(self.times[row]))

    def _of(self, row: int) -> str:
        if self.keys.entity is None:
            return ""
        return f" of {self.keys.entity} {self.entities[int(self.code[row])]!r}"
