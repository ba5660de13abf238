"""In which unit a model sees the target: four ways, of which a table needs one.

`linear` is for most: around the table's mean, in units of its deviation. `window` is for series of very
different levels (meters of houses and of factories): each window around its own level, in units of its own
spread, in the loss too, so that no series outweighs another. `asinh` is for values with a mass at zero and a
long tail (delays, rain): linear around zero, logarithmic far away from it. `series` is for series that differ
in level but keep their own: each around the mean of its training rows, in units of their deviation.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Scale = Literal["linear", "window", "asinh", "series"]
SCALES: tuple[Scale, ...] = ("linear", "window", "asinh", "series")

_LARGEST = 12.0
"""Bound of a forecast before `sinh`: 80,000 linear units; only a broken model goes beyond."""
_WILD = 1e5
"""The same without `sinh`, in spreads."""
_PRIOR_ROWS = 5.0
_LEAST_OF_LEVEL, _LEAST_OF_TABLE = 0.02, 1e-4
"""A window's spread is shrunk towards so much of its level and of the table's deviation, as `_PRIOR_ROWS`
further rows would: a window that does not move must not make of any later move an enormous one."""

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetScale:
    """One table's target in the unit of its model."""

    scale: Scale
    mean: float
    """Of the known training rows."""
    deviation: float
    linear: float
    """Deviations up to which `asinh` is about linear."""

    @property
    def weight(self) -> float:
        """What turns an error of plain values into one in deviations of the table (of the window)."""
        return self.linear if self.scale == "asinh" else 1.0

    def measure(self, past_BC: Array) -> tuple[Array, Array]:
        """Level and spread [B, 1] of windows in natural units, from their contexts; NaN where unknown.

        Of scale `series` these follow from no context: see `ForecastTask.inputs`.
        """
        windows = len(past_BC)
        if self.scale == "asinh":  # keeps its zero, around which it is linear
            return _constant(windows, 0.0), _constant(windows, self.deviation * self.linear)
        if self.scale == "linear":
            return _constant(windows, self.mean), _constant(windows, self.deviation)
        known = ~np.isnan(past_BC)
        values = np.where(known, past_BC, 0.0).astype(np.float64)
        rows = known.sum(1, keepdims=True)
        level = np.where(rows > 0, values.sum(1, keepdims=True) / np.maximum(rows, 1), self.mean)
        squares = (np.square(values - level) * known).sum(1, keepdims=True)
        least = np.square(_LEAST_OF_LEVEL * level) + (_LEAST_OF_TABLE * self.deviation) ** 2
        spread = np.sqrt((squares + _PRIOR_ROWS * least) / (rows + _PRIOR_ROWS))
        return level.astype(np.float32), spread.astype(np.float32)

    def bend(self, plain: Array) -> Array:
        """From plain values, (natural - level) ÷ spread, to what the model sees."""
        return np.arcsinh(plain) if self.scale == "asinh" else plain

    def unbend(self, raw: Tensor) -> Tensor:
        """From what the model says to plain values, finite whatever it says."""
        if self.scale == "asinh":
            return torch.sinh(raw.clamp(-_LARGEST, _LARGEST))
        return raw.clamp(-_WILD, _WILD)


def _constant(windows: int, value: float) -> Array:
    return np.full((windows, 1), value, np.float32)
