"""The learning rate is a function of the step alone; patience counts validations."""

import math

import pytest

from lstm.training.config import TrainingConfig
from lstm.training.early_stopping import EarlyStopping
from lstm.training.schedule import learning_rate


def test_warm_up_rises_linearly_to_the_rate() -> None:
    config = TrainingConfig(schedule="constant", learning_rate=0.1, warmup_steps=4)
    assert [learning_rate(config, step) for step in range(5)] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


def test_cosine_falls_to_a_hundredth_at_the_end_of_the_budget() -> None:
    config = TrainingConfig(steps=100, learning_rate=1.0, warmup_steps=0)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == 1.0
    assert rates[50] == pytest.approx(0.505)
    assert rates[100] == pytest.approx(0.01)
    assert rates == sorted(rates, reverse=True)


def test_stops_after_patience_validations_without_improvement() -> None:
    stopping = EarlyStopping(patience=2)
    for step, loss in enumerate([3.0, 2.0, 2.5]):
        stopping.observe(loss, step)
        assert not stopping.stopped
    stopping.observe(2.0, 3)  # as good is not better
    assert stopping.stopped
    assert (stopping.best_loss, stopping.best_step) == (2.0, 1)


def test_a_loss_that_is_no_number_is_no_improvement() -> None:
    stopping = EarlyStopping(patience=1)
    stopping.observe(math.nan, 1)
    assert stopping.stopped
    assert stopping.best_loss is None


def test_zero_patience_never_stops() -> None:
    stopping = EarlyStopping(patience=0)
    for step in range(100):
        stopping.observe(1.0, step)
    assert not stopping.stopped


def test_restored_state_counts_on() -> None:
    stopping = EarlyStopping(patience=2)
    stopping.observe(1.0, 1)
    stopping.observe(2.0, 2)
    restored = EarlyStopping(**stopping.state())
    restored.observe(2.0, 3)
    assert restored.stopped


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("learning_rate", 0.0), ("ema_decay", 1.0), ("patience", -1), ("ranks", 0)],
)
def test_an_impossible_setting_is_named_with_its_value(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"TrainingConfig\.{field} must be .* got {value}"):
        TrainingConfig(**{field: value})
