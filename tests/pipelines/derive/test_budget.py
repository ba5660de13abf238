"""Minutes become steps once: what the machine can do in them, less validation, and not too many epochs."""

from types import SimpleNamespace

import pytest

from lstm.training.calibrate import Speed
from lstm.training.config import TrainingConfig
from lstm.windows import WindowSpec
from pipelines.derive.budget import choose_steps
from pipelines.derive.reasons import Reasons


def steps_of(
    minutes: float,
    speed: Speed,
    windows: int = 10**8,
    validation: int = 100_000,
    batch: int = 256,
    stride: int = 1,
):
    plan = SimpleNamespace(
        windows=lambda split: windows if split == "train" else validation,
        window=WindowSpec(context=168, horizon=24, stride=stride),
    )
    reasons = Reasons()
    return choose_steps(TrainingConfig(batch_size=batch), plan, minutes, speed, reasons), reasons


@pytest.mark.parametrize("minutes", [0.2, 1, 3, 60])
@pytest.mark.parametrize("speed", [Speed(0.1, 0.04), Speed(2.0, 0.9), Speed(0.005, 0.002)])
def test_steps_and_validations_take_the_minutes_that_were_given(minutes, speed):
    training, _ = steps_of(minutes, speed)
    checkpoints = -(-training.steps // training.checkpoint_every)
    seconds = training.steps * speed.step_s + checkpoints * (
        training.validation_batches * speed.validation_s + 0.6
    )
    assert seconds == pytest.approx(60 * minutes, rel=0.25, abs=3 * speed.step_s + speed.validation_s)
    assert training.steps >= 1
    assert 1 <= checkpoints <= 30
    assert checkpoints <= 12 or minutes > 24


@pytest.mark.parametrize(("stride", "epochs"), [(1, 4.166667), (6, 25), (24, 30)])
def test_windows_that_overlap_are_seen_less_often(stride, epochs):
    training, reasons = steps_of(60, Speed(0.01, 0.01), windows=12_800, validation=2_560, stride=stride)
    assert training.steps == int(epochs * 50)
    assert "more would learn by heart" in reasons.by_key["training.steps"]
    assert training.validation_batches == 10


def test_a_handful_of_windows_still_makes_a_model():
    assert steps_of(60, Speed(0.01, 0.01), windows=20, validation=5, batch=32)[0].steps == 150


def test_the_reason_tells_the_measured_rate():
    _, reasons = steps_of(3, Speed(0.1, 0.04))
    assert (
        "3 minutes (--minutes) at 2,560 windows/s on 2 ranks (measured)" in reasons.by_key["training.steps"]
    )


def test_a_machine_too_slow_for_one_step_a_checkpoint_still_trains():
    training, _ = steps_of(0.1, Speed(30.0, 10.0))
    assert (training.steps, training.checkpoint_every, training.validation_batches) == (2, 1, 1)
