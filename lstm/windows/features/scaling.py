"""Mean and standard deviation of every feature, from training rows only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lstm.windows.features.features import Features
from lstm.windows.features.training_rows import training_rows
from lstm.windows.plan.plan import Plan
from lstm.windows.table.column import Column
from storage.tables.protocol import Snapshot


@dataclass(frozen=True, slots=True)
class Scaling:
    """Per feature: count, mean and population standard deviation of the known values of training rows.

    A feature that is never known there has count 0, mean 0 and deviation 0.
    """

    columns: tuple[str, ...]
    count: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; floats as hexadecimal text, exact to the bit."""
        return {
            "columns": list(self.columns),
            "count": list(self.count),
            "mean": [value.hex() for value in self.mean],
            "std": [value.hex() for value in self.std],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            columns=tuple(values["columns"]),
            count=tuple(values["count"]),
            mean=tuple(float.fromhex(text) for text in values["mean"]),
            std=tuple(float.fromhex(text) for text in values["std"]),
        )


def fit_scaling(snapshot: Snapshot, plan: Plan, columns: Sequence[str | Column]) -> Scaling:
    """Measure features as the model sees them (float32), NaN left out.

    Training rows are those of the table before the end of the training split, whatever segment they are
    in: on a grid none that it adds, so that of `observed` the mean is 1 and the deviation 0. Partial sums
    of row groups, in float64, are merged in the snapshot's order: the same on any number of ranks.

    Raises:
        InfiniteValues: a feature holds infinities.
        MissingColumn, WrongColumnType: a column cannot be a feature.
    """
    snapshot = plan.view_of(snapshot)
    features = Features(snapshot.schema, columns)
    plan.check(snapshot)
    moments = _Moments(features.width)
    for _, rows, training in training_rows(snapshot, plan, features):
        values = rows.values[training]
        for place in range(features.width):
            known = values[:, place].astype(np.float64)
            moments.add(place, known[~np.isnan(known)])
    return Scaling(features.cells, *moments.results())


class _Moments:
    """Counts, means and sums of squared deviations, merged part by part.

    Source: Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances
    (1979).
    """

    def __init__(self, features: int) -> None:
        self.count, self.mean, self.squares = [0] * features, [0.0] * features, [0.0] * features

    def add(self, feature: int, known: NDArray[np.float64]) -> None:
        if not len(known):
            return
        count = len(known)
        mean = float(known.mean())
        squares = float(np.square(known - mean).sum())
        before, total = self.count[feature], self.count[feature] + count
        delta = mean - self.mean[feature]
        self.mean[feature] += delta * count / total
        self.squares[feature] += squares + delta * delta * before * count / total
        self.count[feature] = total

    def results(self) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
        pairs = zip(self.squares, self.count, strict=True)
        std = tuple(math.sqrt(squares / count) if count else 0.0 for squares, count in pairs)
        return tuple(self.count), tuple(self.mean), std
