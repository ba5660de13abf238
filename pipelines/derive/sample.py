"""A bounded sample of the value columns: some row groups, spread over the table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows import SequenceIndex
from lstm.windows.index.read_group import read_group
from lstm.windows.table.columns import features_of

_CELLS = 24_000_000
"""Values of all columns together: 100 MB."""
_ROWS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Rows as the model would see them. A *run* is consecutive rows of one series within a row group."""

    columns: tuple[str, ...]
    values: NDArray[np.float32]
    """[n rows, F], NaN where unknown."""
    times: NDArray[np.int64]
    run: NDArray[np.int64]
    """[n] number of the run that each row belongs to, ascending."""
    table_rows: int

    def __len__(self) -> int:
        return len(self.times)

    def of(self, column: str) -> NDArray[np.float32]:
        """[n] values of one column."""
        return self.values[:, self.columns.index(column)]

    def before(self, time: int) -> "Sample":
        """The rows before a time."""
        kept = self.times < time
        return Sample(self.columns, self.values[kept], self.times[kept], self.run[kept], self.table_rows)

    def steps(self) -> NDArray[np.int64]:
        """Times between neighbouring rows of a run."""
        inside = np.diff(self.run) == 0
        steps: NDArray[np.int64] = np.diff(self.times)[inside]
        return steps


def take_sample(index: SequenceIndex, columns: Sequence[str]) -> Sample:
    """Read `columns` (numbers or booleans) of as many row groups as the bound allows; at least one.

    A row group that is larger than the bound is cut off after it.
    """
    pieces = index.pieces
    most = max(10_000, min(_ROWS, _CELLS // max(1, len(columns))))
    ends = np.cumsum(pieces.rows)
    group_ends = np.cumsum(pieces.group_rows)
    values, times, runs = [], [], []
    for group in _spread(pieces.group_rows, most):
        table, stamps = read_group(index.snapshot, index.keys, pieces, group, columns)
        rows = table.slice(0, most)
        first = int(group_ends[group] - pieces.group_rows[group])
        values.append(features_of(rows, list(columns)))
        times.append(stamps[:most])
        # a piece lies in one row group, so its number names the run
        runs.append(np.searchsorted(ends, np.arange(first, first + rows.num_rows), side="right"))
    return Sample(
        tuple(columns), np.concatenate(values), np.concatenate(times), np.concatenate(runs), int(ends[-1])
    )


def _spread(group_rows: NDArray[np.int64], most: int) -> list[int]:
    """Row groups, evenly spread, that hold at most `most` rows together, or the middle one."""
    held = np.flatnonzero(group_rows)
    usual = max(1, int(group_rows[held].max()))
    count = min(len(held), max(1, most // usual))
    return [int(held[(2 * place + 1) * len(held) // (2 * count)]) for place in range(count)]
