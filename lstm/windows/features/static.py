"""Static columns: one value per entity, looked up by series, so that windows need not carry it row by row.

An entity's value is the first one that its training rows hold, in order of time, and missing where they hold
none; an entity that has no training row takes the first of its own rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lstm.windows.errors import MissingValues, VaryingValues
from lstm.windows.features.training_groups import is_training, series_of_rows, training_end
from lstm.windows.features.vocabulary import Vocabulary
from lstm.windows.index.missing import missing
from lstm.windows.index.read_group import read_group
from lstm.windows.plan.plan import Plan
from lstm.windows.table.column import Column
from lstm.windows.table.columns import features_of, token_ids
from storage.tables.protocol import Snapshot


@dataclass(frozen=True, slots=True)
class Statics:
    """What is static, by series number of the plan."""

    numbers: tuple[str, ...]
    values: NDArray[np.float32]
    """[S, numbers]; NaN: missing."""
    categories: tuple[str, ...]
    ids: NDArray[np.int32]
    """[S, categories]; 0: missing."""


def find_statics(
    snapshot: Snapshot, plan: Plan, columns: Sequence[Column], vocabularies: Mapping[str, Vocabulary]
) -> Statics:
    """Read static columns once.

    Raises:
        VaryingValues: training rows of one entity hold two values, and the column does not allow that.
        MissingValues: an entity has no token, and nothing was said about that.
    """
    series = len(plan.series)
    found = {column.name: np.full(series, np.nan) for column in columns}
    since = {column.name: np.full(series, np.iinfo(np.int64).max) for column in columns}
    lowest = {column.name: np.full(series, np.inf) for column in columns}
    highest = {column.name: np.full(series, -np.inf) for column in columns}
    for group in np.flatnonzero(plan.pieces.group_rows).tolist() if columns else []:
        names = [column.name for column in columns]
        table, times = read_group(plan.table_view_of(snapshot), plan.keys, plan.of_table, group, names)
        owner = series_of_rows(plan, group)
        for column in columns:
            name = column.name
            if column.kind == "number":
                values = features_of(table, [name])[:, 0].astype(np.float64)
            else:
                values = _ids(table, column, vocabularies).astype(np.float64)
                none = missing(table.column(name)) if column.kind == "token" else values == 0
                values[none] = np.nan
            held = np.flatnonzero(~np.isnan(values))
            training = held[is_training(plan, group, times)[held]]
            np.minimum.at(lowest[name], owner[training], values[training])
            np.maximum.at(highest[name], owner[training], values[training])
            come = held[np.lexsort((times[held], owner[held]))]
            first = come[np.flatnonzero(np.diff(owner[come], prepend=-1))]
            sooner = first[times[first] < since[name][owner[first]]]
            since[name][owner[sooner]] = times[sooner]
            found[name][owner[sooner]] = values[sooner]
    trained, end = _trained(plan), training_end(plan)
    for column in columns:
        found[column.name][trained & (since[column.name] >= end)] = np.nan  # their future, not theirs yet
        varying = np.flatnonzero(lowest[column.name] < highest[column.name])
        if column.varies == "error" and len(varying):
            raise VaryingValues(
                f"static column {column.name!r} holds several values for {len(varying)} of {series} "
                f"entities, the first {plan.series[varying[0]]!r}; take their first value (varies: first), "
                "or give it another role, such as known"
            )
        without = np.flatnonzero(np.isnan(found[column.name]))
        if column.refuses_read and len(without):
            raise MissingValues(
                f"static column {column.name!r} has no token for {len(without)} of {series} entities, the "
                f"first {plan.series[without[0]]!r}, and 0 is a token too; write tokens into their training "
                f"rows, or let them be 0: Column(name={column.name!r}, kind='token', role='static', "
                "nulls='mask')"
            )
    numbers = [column.name for column in columns if not column.is_id]
    categories = [column.name for column in columns if column.is_id]
    return Statics(
        tuple(numbers),
        _stacked([found[name] for name in numbers], series).astype(np.float32),
        tuple(categories),
        np.nan_to_num(_stacked([found[name] for name in categories], series)).astype(np.int32),
    )


def _trained(plan: Plan) -> NDArray[np.bool_]:
    """[S] which series have training rows."""
    begun = plan.pieces.first_time < training_end(plan)
    return plan.trained_on & np.isin(np.arange(len(plan.series)), plan.pieces.series[begun])


def _ids(table: pa.Table, column: Column, vocabularies: Mapping[str, Vocabulary]) -> NDArray[np.int32]:
    values = table.column(column.name)
    return token_ids(values, column.name) if column.kind == "token" else vocabularies[column.name].ids(values)


def _stacked(columns: list[NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    return np.stack(columns, axis=1) if columns else np.empty((rows, 0))
