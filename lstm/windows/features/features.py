"""How the columns of a table become the cells of a row: 4 bytes each, side by side.

First the numbers of every column, in the order in which they were asked for, then a flag for each column that
is filled (1 where its value was missing and is taken from an earlier row), then the ids of categories and
tokens: int32, whose bits stand in the place of a float's. Static columns have no cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lstm.windows.errors import PlanMismatch
from lstm.windows.features.vocabulary import Vocabulary
from lstm.windows.plan.plan import Plan
from lstm.windows.table.column import Column, as_columns
from lstm.windows.table.column_types import check_columns
from lstm.windows.table.columns import features_of, lists_of, token_ids

FLAG = ":filled"
"""Ends the name of a flag."""


class Features:
    """Decodes the columns of a row group."""

    def __init__(
        self,
        schema: pa.Schema,
        columns: Sequence[str | Column],
        vocabularies: Mapping[str, Vocabulary] | None = None,
    ) -> None:
        """Prepare to decode; each category needs its vocabulary.

        Raises:
            MissingColumn, WrongColumnType: a column cannot be what it is said to be.
        """
        self.columns = tuple(column for column in as_columns(columns) if column.role != "static")
        self.names: tuple[str, ...] = tuple(column.name for column in self.columns)
        """What is read of the table."""
        check_columns(schema, self.columns)
        self.vocabularies = dict(vocabularies or {})
        categories = [column.name for column in self.columns if column.kind == "category"]
        if lacking := [name for name in categories if name not in self.vocabularies]:
            raise ValueError(f"categories {lacking} have no vocabulary; see fit_vocabularies")
        self._numbers = [column for column in self.columns if not column.is_id]
        self._plain = all(column.width == 1 for column in self._numbers)
        self._filled = [column for column in self._numbers if column.nulls == "forward_fill"]
        self.slices: dict[str, slice] = {}
        """By column: its places among the numbers, or among the ids."""
        self.cells: tuple[str, ...] = ()
        """What each number of a row is, flags last."""
        for column in self._numbers:
            self.slices[column.name] = slice(len(self.cells), len(self.cells) + column.width)
            self.cells += column.cells
        self.cells += tuple(column.name + FLAG for column in self._filled)
        self.ids = tuple(column.name for column in self.columns if column.is_id)
        """What each id of a row is of."""
        self.slices |= {name: slice(place, place + 1) for place, name in enumerate(self.ids)}

    @property
    def width(self) -> int:
        """Cells of a row, 4 bytes each."""
        return len(self.cells) + len(self.ids)

    @property
    def row_bytes(self) -> int:
        """Bytes of a decoded row: its cells and its time."""
        return 4 * self.width + 8

    def places(self, name: str) -> list[int]:
        """A column's places among the numbers, its flag included, or among the ids."""
        places = list(range(*self.slices[name].indices(self.width)))
        return [*places, self.cells.index(name + FLAG)] if name + FLAG in self.cells else places

    def check(self, plan: Plan) -> None:
        """Make sure that the plan knows these columns' null policies.

        Raises:
            PlanMismatch: it was made with others.
        """
        for column in self.columns:
            if column.needs_index and plan.nulls.policies.get(column.name) != column.policy:
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
        if self._plain and not self._filled and not self.ids:
            return features_of(table, list(self.names))
        cells = np.empty((table.num_rows, self.width), np.float32)
        for column in self._numbers:
            values = table.column(column.name)
            if column.width > 1:
                cells[:, self.slices[column.name]] = lists_of(values, column.name, column.width)
            else:
                cells[:, self.slices[column.name]] = features_of(table, [column.name])
        for flag, column in enumerate(self._filled, len(self.cells) - len(self._filled)):
            own = np.ascontiguousarray(cells[:, self.slices[column.name].start])
            missing = np.isnan(own)
            fill_forward(own, missing, starts, carried[column.name])
            cells[:, self.slices[column.name].start] = own
            cells[:, flag] = missing & ~np.isnan(own)
        ids = cells.view(np.int32)
        for place, column in enumerate((it for it in self.columns if it.is_id), len(self.cells)):
            values = table.column(column.name)
            if column.kind == "token":
                ids[:, place] = token_ids(values, column.name, refuse=column.refuses_read)
            else:
                ids[:, place] = self.vocabularies[column.name].ids(values)
        return cells

    def split(self, cells: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Numbers [..., F] and ids [..., K] of cells [..., width]: no copy if there are no ids."""
        if not self.ids:
            return cells, np.empty((*cells.shape[:-1], 0), np.int32)
        numbers = len(self.cells)
        return (
            np.ascontiguousarray(cells[..., :numbers]),
            np.ascontiguousarray(cells.view(np.int32)[..., numbers:]),
        )


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
