"""The learning rate as a pure function of the step, so that a resume needs no schedule state."""

import math

from lstm.training.config import TrainingConfig

_FLOOR = 0.01


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Rate of the step that follows `step` finished ones.

    Linear warm-up, then constant, or a half cosine down to a hundredth at the end of the budget.
    Source: Loshchilov & Hutter, "SGDR" (2017), eq. 5, without restarts.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.schedule == "constant":
        return config.learning_rate * warmup
    done = min(1.0, step / config.steps)
    return config.learning_rate * warmup * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))
