"""Mean and standard deviation of every number by series, and over all, from training rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.packing import pack, unpack
from lstm.windows.features.features import Features
from lstm.windows.features.scaling import Scaling
from lstm.windows.features.training_groups import series_of_rows
from lstm.windows.features.training_rows import training_rows
from lstm.windows.index.runs import Entity
from lstm.windows.plan.plan import Plan
from lstm.windows.table.column import Column, as_columns
from storage.tables.protocol import Snapshot

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SeriesScaling:
    """Per series and number: count, mean and population deviation of the known values of training rows."""

    entities: tuple[Entity, ...]
    """Whose rows they are, ascending."""
    count: NDArray[np.int64]
    """[S, F]"""
    mean: Array
    """[S, F]; 0 where nothing is known."""
    std: Array
    """[S, F]"""
    whole: Scaling
    """Over all series: for entities that had no training row, and numbers that are not known of one."""

    def of(self, series: Sequence[Entity]) -> tuple[Array, Array, tuple[Entity, ...]]:
        """Mean and deviation [s, F] of the series of a plan, and those that fall back to the whole table's.

        Also for another plan than the one that was measured: entities are found by name. One whose values do
        not differ takes the whole table's deviation.
        """
        place = {entity: number for number, entity in enumerate(self.entities)}
        rows = np.array([place.get(entity, -1) for entity in series], np.int64)
        mean = np.tile(np.array(self.whole.mean), (len(rows), 1))
        std = np.tile(np.array(self.whole.std), (len(rows), 1))
        known = np.flatnonzero(rows >= 0)
        own, measured = rows[known], self.count[rows[known]] > 0
        mean[known] = np.where(measured, self.mean[own], mean[known])
        std[known] = np.where(measured & (self.std[own] > 0), self.std[own], std[known])
        has_any = np.zeros(len(rows), np.bool_)
        has_any[known] = measured.any(axis=1)
        fallen = tuple(entity for entity, has in zip(series, has_any.tolist(), strict=True) if not has)
        return mean, std, fallen

    def to_json(self) -> dict[str, Any]:
        """Plain values, exact to the bit."""
        arrays = {name: pack(getattr(self, name).ravel()) for name in ("count", "mean", "std")}
        return {"entities": list(self.entities), "whole": self.whole.to_json(), **arrays}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SeriesScaling:
        """The inverse of `to_json`."""
        whole, entities = Scaling.from_json(values["whole"]), tuple(values["entities"])
        shape = (len(entities), len(whole.columns))
        count = unpack(values["count"], np.int64).reshape(shape)
        mean, std = (unpack(values[name], np.float64).reshape(shape) for name in ("mean", "std"))
        return cls(entities, count, mean, std, whole)


def nothing_measured(column: str) -> SeriesScaling:
    """Of no series, so that all fall back to mean 0 and deviation 1: for a rehearsal."""
    none = np.empty((0, 1))
    whole = Scaling((column,), (1,), (0.0,), (1.0,))
    return SeriesScaling((), none.astype(np.int64), none, none, whole)


def fit_series_scaling(snapshot: Snapshot, plan: Plan, columns: Sequence[str | Column]) -> SeriesScaling:
    """Measure numbers series by series; costs 24 bytes for each series and number.

    Partial sums of row groups, in float64, are merged in the snapshot's order.

    Raises:
        InfiniteValues: a number is infinite.
        MissingColumn, WrongColumnType: a column cannot be what it is said to be.
    """
    numbers = [
        column.name if column.width == 1 else column for column in as_columns(columns) if not column.is_id
    ]
    snapshot = plan.view_of(snapshot)
    features = Features(snapshot.schema, numbers)
    plan.check(snapshot)
    shape = (len(plan.series), features.width)
    count, mean, squares = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape)
    for group, rows, training in training_rows(snapshot, plan, features):
        held, owner = np.unique(series_of_rows(plan, group)[training], return_inverse=True)
        values = rows.values[training].astype(np.float64)
        known = ~np.isnan(values)
        n, total = (
            _added(owner, known.astype(np.float64), len(held)),
            _added(owner, np.where(known, values, 0), len(held)),
        )
        part_mean = total / np.maximum(n, 1)
        part = _added(owner, np.where(known, np.square(values - part_mean[owner]), 0), len(held))
        before = count[held]
        both = np.maximum(before + n, 1)
        delta = part_mean - mean[held]
        mean[held] += np.where(n > 0, delta * n / both, 0)
        squares[held] += np.where(n > 0, part + delta * delta * before * n / both, 0)
        count[held] += n.astype(np.int64)
    return SeriesScaling(
        plan.series,
        count,
        mean,
        np.sqrt(squares / np.maximum(count, 1)),
        _whole(features, count, mean, squares),
    )


def _whole(features: Features, count: NDArray[np.int64], mean: Array, squares: Array) -> Scaling:
    """All series as one."""
    rows = count.sum(axis=0)
    overall = (mean * count).sum(axis=0) / np.maximum(rows, 1)
    spread = (squares + count * np.square(mean - overall)).sum(axis=0)
    std = np.sqrt(spread / np.maximum(rows, 1))
    return Scaling(features.cells, *(tuple(values.tolist()) for values in (rows, overall, std)))


def _added(owner: NDArray[np.intp], values: Array, count: int) -> Array:
    """[count, F] sums of the rows [n, F] of each owner."""
    sums = np.zeros((count, values.shape[1]))
    for place in range(values.shape[1]):
        sums[:, place] = np.bincount(owner, values[:, place], minlength=count)
    return sums
