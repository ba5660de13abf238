"""A run whose numbers are no longer numbers ends at once, before they reach the weights."""

import math

from lstm.training.config import TrainingConfig
from storage.errors import UserError


class Diverged(UserError):
    """A loss or a gradient is infinite or not a number; the checkpoints are of before that."""


def check_finite(what: str, value: float, step: int, config: TrainingConfig) -> None:
    """Raise Diverged unless `value`, a sum over all ranks and so the same on each, is a finite number."""
    if not math.isfinite(value):
        raise Diverged(
            f"the {what} after step {step} is {value}: training has diverged and was stopped before the "
            "weights changed; checkpoints are whole. Lower training.learning_rate "
            f"({config.learning_rate}), or look for extreme values in the columns that are read"
        )
