"""A stacked LSTM that reads a context and hands over its last state."""

from torch import Tensor, nn

from lstm.models.initialise import initialise_lstm


class Encoder(nn.Module):
    """Context in, state out.

    `patch` successive rows enter the LSTM as one step. An LSTM's cost is its number of steps, one after the
    other; a week of hours in patches of 6 is 28 of them.
    """

    def __init__(self, features: int, hidden: int, layers: int, *, dropout: float, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.lstm = nn.LSTM(
            features * patch,
            hidden,
            layers,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,  # between layers; PyTorch warns about it after the last
        )
        initialise_lstm(self.lstm)

    def forward(self, context: Tensor) -> Tensor:
        """[B, T, features], T a multiple of `patch`, to [B, hidden]."""
        windows, rows, features = context.shape
        steps = context.reshape(windows, rows // self.patch, features * self.patch)
        states: Tensor = self.lstm(steps)[0]
        return states[:, -1]
