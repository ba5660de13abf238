"""The values of a category that training rows hold, numbered: what is not among them has an id of its own.

Id 0 is a missing value, id 1 a value that no training row holds, and ids from 2 on are the known values in
ascending order: the same on every machine and for any layout of the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lstm.windows.errors import WindowError, WrongColumnType
from lstm.windows.features.training_groups import training_tables
from lstm.windows.plan.plan import Plan
from storage.tables.protocol import Snapshot

MISSING, UNKNOWN, FIRST = 0, 1, 2
MOST = 1 << 20
"""Values of a vocabulary; more are no categories."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The known values of one category, in ascending order."""

    column: str
    values: tuple[str | int | bool, ...]

    @property
    def size(self) -> int:
        """Ids in all, those of missing and unknown values included: rows of an embedding."""
        return FIRST + len(self.values)

    def ids(self, column: pa.ChunkedArray[Any]) -> NDArray[np.int32]:
        """[n] the id of every value of a column."""
        plain = plain_values(column)
        known = pa.array(self.values, plain.type)
        places = pc.index_in(plain, value_set=known).combine_chunks()
        ids = np.asarray(places.fill_null(UNKNOWN - FIRST).to_numpy(zero_copy_only=False)) + FIRST
        ids[np.asarray(plain.is_null().combine_chunks().to_numpy(zero_copy_only=False))] = MISSING
        return ids.astype(np.int32)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"column": self.column, "values": list(self.values)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Vocabulary:
        """The inverse of `to_json`."""
        return cls(values["column"], tuple(values["values"]))


def plain_values(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """Text, 64-bit integers or booleans, whatever their encoding."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type):
        return column
    try:
        return column.cast(pa.int64() if pa.types.is_integer(column.type) else pa.large_string())
    except pa.ArrowInvalid as error:
        raise WrongColumnType(f"integers of a category must fit 64 bits with a sign: {error}") from None


def fit_vocabularies(snapshot: Snapshot, plan: Plan, columns: Sequence[str]) -> dict[str, Vocabulary]:
    """By column: the values that training rows hold. Reads them once.

    Raises:
        WindowError: a column has more than `MOST` values.
    """
    if not columns:
        return {}
    found: dict[str, set[Any]] = {name: set() for name in columns}
    for table in training_tables(snapshot, plan, columns):
        for name, values in found.items():
            values.update(plain_values(table.column(name)).unique().to_pylist())
            if len(values) > MOST:
                raise WindowError(
                    f"column {name!r} holds more than {MOST:,} different values in the training rows, too "
                    "many for a category; leave it out, or group its values when the table is written"
                )
    return {name: Vocabulary(name, tuple(sorted(values - {None}))) for name, values in found.items()}
