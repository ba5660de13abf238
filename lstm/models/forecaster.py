"""The forecaster: a stacked LSTM reads the context, a small network turns its state into quantiles.

For every step of the horizon the network sees the LSTM's last state, the calendar of that step, the window's
level and spread, and the target where it stood `lag`, 2·`lag`, … rows before that step, as far as the context
reaches. It never sees anything else of the horizon.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from lstm.models.encoder import Encoder
from lstm.models.instance import InstanceScale
from lstm.models.quantiles import QuantileHead
from lstm.models.shortcut import Shortcut


class Forecaster(nn.Module):
    """Quantiles of the target for every step of the horizon.

    B windows of C + H rows, F features, the target first, K numbers of calendar.
    """

    lags: Tensor

    def __init__(
        self,
        *,
        features: int,
        calendar: int,
        context: int,
        horizon: int,
        hidden: int,
        layers: int,
        dropout: float,
        patch: int,
        lag: int,
        levels: Sequence[float],
        shortcut: Sequence[int] | None,
    ) -> None:
        super().__init__()
        self.context = context
        self.encoder = Encoder(2 * features + calendar, hidden, layers, dropout=dropout, patch=patch)
        self.register_buffer("lags", lagged_rows(context, horizon, lag), persistent=False)
        inputs = hidden + calendar + 2 + 2 * self.lags.shape[1]
        self.decoder = nn.Linear(inputs, hidden)
        self.step = nn.Parameter(torch.zeros(horizon, hidden))
        self.mix = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = QuantileHead(hidden, levels)
        self.shortcut = None if shortcut is None else Shortcut(context, horizon, shortcut)

    def forward(self, past_BCF: Tensor, known_BCF: Tensor, calendar_BTK: Tensor) -> Tensor:
        """Forecast, in the unit of the past's first feature, the target.

        Args:
            past_BCF: the context, about mean 0 and deviation 1 over all windows, 0 where unknown.
            known_BCF: 1 where the context is known, else 0.
            calendar_BTK: calendar of context and horizon, T = C + H.

        Returns:
            [B, H, Q], rising along Q.
        """
        target, known = past_BCF[..., 0], known_BCF[..., 0]
        scale = InstanceScale.of(target, known)
        scaled = scale.apply(target, known)
        before, ahead = calendar_BTK[:, : self.context], calendar_BTK[:, self.context :]
        state = self.encoder(torch.cat([scaled.unsqueeze(2), past_BCF[..., 1:], known_BCF, before], dim=2))
        window = torch.cat([self.dropout(state), scale.level, scale.spread.log()], dim=1)
        steps = [
            window.unsqueeze(1).expand(-1, ahead.shape[1], -1),
            ahead,
            scaled[:, self.lags],
            known[:, self.lags],
        ]
        hidden = gelu(self.decoder(torch.cat(steps, dim=2)) + self.step)
        # One draw for all steps of a window: per step it costs a sixth of the time, and gains nothing.
        kept = self.dropout(torch.ones_like(hidden[:, :1]))
        hidden = gelu(self.mix(hidden * kept))
        quantiles = self.head(hidden)
        if self.shortcut is not None:
            quantiles = quantiles + self.shortcut(scaled, known).unsqueeze(2)
        return scale.undo(quantiles)


def lagged_rows(context: int, horizon: int, lag: int) -> Tensor:
    """Rows of the context that lie whole multiples of `lag` before each step of the horizon: [H, L], int64.

    L is the number of multiples for which that holds at every step; 0 where the context is too short.
    """
    multiples = range(-(-horizon // lag), context // lag + 1)
    rows = [[context + step - lag * multiple for multiple in multiples] for step in range(horizon)]
    return torch.tensor(rows, dtype=torch.int64).reshape(horizon, len(multiples))
