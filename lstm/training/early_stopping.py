"""Early stopping: end a run whose validation loss has not fallen for `patience` validations.

Source: Prechelt, "Early Stopping - But When?" (1998), the criterion UP with one-step strips.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(kw_only=True, slots=True)
class EarlyStopping:
    """The best validation so far and how long ago it was; part of every commit."""

    patience: int
    best_loss: float | None = None
    best_step: int = 0
    without_improvement: int = 0

    def observe(self, loss: float, step: int) -> None:
        """Take in one validation. A loss that is not a number counts as no improvement."""
        if math.isfinite(loss) and (self.best_loss is None or loss < self.best_loss):
            self.best_loss, self.best_step, self.without_improvement = loss, step, 0
        else:
            self.without_improvement += 1

    @property
    def stopped(self) -> bool:
        """True once patience has run out."""
        return 0 < self.patience <= self.without_improvement

    def state(self) -> dict[str, Any]:
        """JSON-able; `EarlyStopping(**state)` restores it."""
        return asdict(self)
