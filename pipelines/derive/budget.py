"""Minutes to steps, once: at the speed that a rehearsal measured, with time left for validation."""

import math
from dataclasses import replace

from lstm.training.calibrate import Speed
from lstm.training.config import TrainingConfig
from lstm.windows import Plan
from pipelines.derive.reasons import Reasons

_VIEWS = 100
"""Times that a value may be seen as a target, by overlapping windows and in all epochs: more learns by heart.
On ETTh1, whose windows overlap 24-fold, 150 steps (3 epochs) gave 1.29 degrees, and 816 (17 epochs) 1.34."""
_FEWEST_EPOCHS, _MOST_EPOCHS = 3, 30
_LEAST_STEPS = 150
"""Fewer windows than a model needs are seen more often; early stopping ends what does not help."""
_CHECKPOINTS = 12
_FURTHEST_S = 120.0
"""Seconds of training between two checkpoints, at most: what a kill may cost."""
_VALIDATION = 0.15
"""Share of the time that validations may take."""
_COMMIT_S = 0.6
"""Seconds of a checkpoint."""
_CLOSEST_S = 3.0
"""Seconds of training between two checkpoints, at least."""
_MOST_BATCHES = 40


def choose_steps(
    training: TrainingConfig, plan: Plan, minutes: float, speed: Speed, reasons: Reasons
) -> TrainingConfig:
    """`training` with steps, checkpoints and validation that take `minutes` at `speed`."""
    seconds = 60 * minutes
    count = max(1, int(min(max(_CHECKPOINTS, seconds / _FURTHEST_S), seconds / _CLOSEST_S)))
    batches = -(-plan.windows("validation") // training.batch_size)
    affordable = int(_VALIDATION * seconds / count / speed.validation_s)
    validated = max(1, min(batches, _MOST_BATCHES, affordable))
    left = seconds - count * (validated * speed.validation_s + _COMMIT_S)
    affordable_steps = max(count, int(left / speed.step_s))
    an_epoch = max(1, -(-plan.windows("train") // training.batch_size))
    alone = _VIEWS * plan.window.stride / plan.window.horizon
    epochs = min(max(alone, _FEWEST_EPOCHS), _MOST_EPOCHS)
    enough = max(_LEAST_STEPS, int(epochs * an_epoch))
    steps = min(affordable_steps, enough)
    every = math.ceil(steps / count)
    rate = f"{training.batch_size / speed.step_s:,.0f} windows/s on {training.ranks} ranks (measured)"
    why = f"{minutes:g} minutes (--minutes) at {rate}: {steps / an_epoch:.2g} epochs of {an_epoch:,} steps"
    if steps < affordable_steps:
        used = steps * speed.step_s + count * (validated * speed.validation_s + _COMMIT_S)
        why = (
            f"{steps / an_epoch:.3g} epochs of {an_epoch:,} steps; more would learn by heart. About "
            f"{used:,.0f} s of the {seconds:,.0f} s allowed, at {rate}"
        )
    reasons.add("training.steps", why)
    reasons.add(
        "training.checkpoint_every", f"{math.ceil(steps / every)} checkpoints, each after a validation"
    )
    reasons.add(
        "training.validation_batches",
        f"{validated} of {batches} batches of the validation split, at most {_VALIDATION:.0%} of the time",
    )
    return replace(
        training,
        steps=steps,
        checkpoint_every=every,
        validation_batches=validated,
        patience=max(training.patience, count // 2),
        warmup_steps=min(training.warmup_steps, max(1, steps // 10)),
        report_every=max(1, min(training.report_every, steps // 20)),
    )
