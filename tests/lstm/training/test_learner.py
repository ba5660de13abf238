"""A learner restored from its tensors goes on with the same bits."""

import pytest
import torch
from torch import nn

from lstm.training.config import TrainingConfig
from lstm.training.learner import Learner


def steps(learner: Learner, first: int, last: int) -> None:
    for step in range(first, last):
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        learner.model(inputs).square().mean().backward()
        learner.update(1e-2)
        learner.optimizer.zero_grad()


def fresh(config: TrainingConfig) -> Learner:
    torch.manual_seed(0)
    return Learner.of(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)), config)


@pytest.mark.parametrize("config", [TrainingConfig(), TrainingConfig(ema_decay=0.9, weight_decay=0.1)])
@pytest.mark.parametrize("at", [0, 1, 7])
def test_restored_at_any_step_it_ends_with_the_same_bits(config: TrainingConfig, at: int) -> None:
    whole = fresh(config)
    steps(whole, 0, 10)
    interrupted = fresh(config)
    steps(interrupted, 0, at)
    saved = {name: tensor.to_numpy().copy() for name, tensor in interrupted.tensors().items()}
    resumed = Learner.of(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)), config)
    resumed.load(interrupted.tensors())
    assert {name: tensor.to_numpy().tobytes() for name, tensor in resumed.tensors().items()} == {
        name: array.tobytes() for name, array in saved.items()
    }
    steps(resumed, at, 10)
    assert resumed.tensors() == whole.tensors()


def test_the_moving_average_follows_the_weights() -> None:
    learner = fresh(TrainingConfig(ema_decay=0.5))
    weight = next(learner.model.parameters())
    steps(learner, 0, 1)  # the first update copies
    first = weight.detach().clone()
    steps(learner, 1, 2)
    average = next(iter(learner.scored.parameters()))
    assert learner.scored is not learner.model
    torch.testing.assert_close(average, (first + weight) / 2)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_its_size_is_known_before_the_first_step(decay: float) -> None:
    learner = fresh(TrainingConfig(ema_decay=decay))
    expected = learner.state_bytes
    steps(learner, 0, 1)
    assert sum(tensor.nbytes for tensor in learner.tensors().values()) == pytest.approx(expected, abs=100)
