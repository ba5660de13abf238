"""A linear forecast beside the LSTM: what a linear model would find, the LSTM then need not.

It starts as the mean of naive forecasts, its *anchors*: the last row going on, and the newest cycle and
season repeated. Which of them to trust is learned fast (their gains move `_PACE` times as far as other
weights per step), all other rows of the context at the usual pace.

Mean absolute error without it, with it, and of ridge: ETTh1 1.45, 1.27, 1.29; La Haute Borne 208, 196, 195;
M4 Hourly 14.7 (without the cycles), 10.4, 13.3.
Source: the highway of Lai et al., "Modeling Long- and Short-Term Temporal Patterns" (2018); the last value as
anchor, Zeng et al., "Are Transformers Effective for Time Series Forecasting?" (2023).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_PACE = 10.0


class Shortcut(nn.Module):
    """C rows of context, and whether each is known, to H steps of the horizon."""

    anchors: Tensor

    def __init__(self, context: int, horizon: int, cycles: Sequence[int]) -> None:
        """`cycles` are lengths, in rows, of what may repeat; those beyond the context are left out."""
        super().__init__()
        self.register_buffer("anchors", anchor_rows(context, horizon, cycles), persistent=False)
        count = self.anchors.shape[1]
        self.gains = nn.Parameter(torch.full((horizon, count), 1 / count / _PACE))
        self.linear = nn.Linear(2 * context, horizon)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, values_BC: Tensor, known_BC: Tensor) -> Tensor:
        """[B, H], in the unit of the values, which are 0 where unknown."""
        naive = (values_BC[:, self.anchors] * self.gains).sum(2) * _PACE
        rest: Tensor = self.linear(torch.cat([values_BC, known_BC], dim=1))
        return naive + rest


def anchor_rows(context: int, horizon: int, cycles: Sequence[int]) -> Tensor:
    """Rows of the context that the naive forecasts of each step repeat: [H, A], int64, the last row first."""
    columns = [[context - 1] * horizon]
    for cycle in sorted(set(cycles)):
        rows = [context + step - (step // cycle + 1) * cycle for step in range(horizon)]
        if min(rows) >= 0 and rows not in columns:
            columns.append(rows)
    return torch.tensor(columns, dtype=torch.int64).T.contiguous()
