"""Quantile forecasts that cannot cross, and the loss that trains them.

The pinball loss of level q is q·e for an error e = target - forecast above 0, else (q - 1)·e; the forecast
that minimises its mean is the q-quantile. At q = 0.5 it is half the absolute error.
Source: Koenker & Bassett, "Regression Quantiles" (1978).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


def check_levels(levels: Sequence[float]) -> None:
    """Raise ValueError unless `levels` rise strictly inside (0, 1) and hold the median."""
    inside = all(0 < level < 1 for level in levels)
    if not inside or 0.5 not in levels or any(low >= high for low, high in pairwise(levels)):
        raise ValueError(f"quantiles must rise inside (0, 1) and hold 0.5, got {tuple(levels)}")


class QuantileHead(nn.Module):
    """Features to quantiles: the median, and a positive step outwards for each further level."""

    def __init__(self, features: int, levels: Sequence[float]) -> None:
        super().__init__()
        check_levels(levels)
        self.median = tuple(levels).index(0.5)
        self.linear = nn.Linear(features, len(levels))
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """[..., features] -> [..., levels], rising."""
        raw = self.linear(features)
        below, median, above = raw.tensor_split([self.median, self.median + 1], dim=-1)
        down = softplus(below).flip(-1).cumsum(-1).flip(-1)
        return torch.cat([median - down, median, median + softplus(above).cumsum(-1)], dim=-1)


def pinball(forecast: Tensor, target: Tensor, levels: Tensor) -> Tensor:
    """Loss of each quantile.

    Args:
        forecast: [..., Q].
        target: [...], in the same unit.
        levels: [Q].

    Returns:
        [..., Q], in that unit, never negative.
    """
    error = target.unsqueeze(-1) - forecast
    return torch.maximum(levels * error, (levels - 1) * error)
