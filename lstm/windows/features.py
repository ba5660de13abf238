"""How the columns of a table become the cells of a row: float32 numbers side by side.

First every column's own cells, in the order in which they were asked for, then a flag for each column that is
filled: 1 where its value was missing and is taken from an earlier row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lstm.windows.column import Column, as_columns
from lstm.windows.columns import check_features, features_of
from lstm.windows.errors import PlanMismatch
from lstm.windows.plan import Plan

FLAG = ":filled"
"""Ends the name of a flag."""


class Features:
    """Decodes the columns of a row group."""

    def __init__(self, schema: pa.Schema, columns: Sequence[str | Column]) -> None:
        """Prepare to decode.

        Raises:
            MissingColumn, WrongColumnType: a column cannot be a feature.
        """
        self.columns = as_columns(columns)
        self.names: tuple[str, ...] = tuple(column.name for column in self.columns)
        """What is read of the table."""
        check_features(schema, list(self.names))
        self._filled = [place for place, column in enumerate(self.columns) if column.nulls == "forward_fill"]
        self.cells = (*self.names, *(self.names[place] + FLAG for place in self._filled))
        """What each cell holds."""

    @property
    def width(self) -> int:
        """Cells of a row."""
        return len(self.cells)

    def check(self, plan: Plan) -> None:
        """Make sure that the plan knows these columns' null policies.

        Raises:
            PlanMismatch: it was made with others.
        """
        for column in self.columns:
            if column.needs_index and plan.nulls.policies.get(column.name) != column.nulls:
                raise PlanMismatch(
                    f"column {column.name!r} is to be read with null policy {column.nulls}, but plan "
                    f"{plan.id[:12]} was made with {plan.nulls.policies.get(column.name, 'mask')}; give "
                    "index_snapshot the same columns as the reader"
                )

    def decode(
        self, table: pa.Table, starts: NDArray[np.int64], carried: Mapping[str, NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Cells [n, width] of rows.

        Args:
            table: the columns of a row group, n rows.
            starts: [p] first row of each of its pieces.
            carried: by filled column, [p]: what missing values at the beginning of a piece take.
        """
        values = features_of(table, list(self.names))
        if not self._filled:
            return values
        flags = np.empty((len(values), len(self._filled)), np.float32)
        for flag, place in enumerate(self._filled):
            missing = np.isnan(values[:, place])
            fill_forward(values[:, place], missing, starts, carried[self.names[place]])
            flags[:, flag] = missing & ~np.isnan(values[:, place])
        return np.concatenate([values, flags], axis=1)


def fill_forward(
    values: NDArray[np.float32],
    missing: NDArray[np.bool_],
    starts: NDArray[np.int64],
    carried: NDArray[np.float32],
) -> None:
    """Give missing values [n], in place, the last known one of their piece, else what is carried into it.

    Args:
        values: [n] of a row group.
        missing: [n] which of them are.
        starts: [p] first row of each piece.
        carried: [p] last known value before each piece; NaN: there is none.
    """
    known = np.maximum.accumulate(np.where(missing, -1, np.arange(len(values))))
    piece = np.searchsorted(starts, np.flatnonzero(missing), side="right") - 1
    before = known[missing]
    values[missing] = np.where(before >= starts[piece], values[before], carried[piece])
