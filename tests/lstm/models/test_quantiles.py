"""Quantiles that cannot cross, and the loss whose minimum they are."""

import pytest
import torch
from torch.nn.functional import softplus

from lstm.models import QuantileHead, check_levels, pinball


def test_pinball_by_hand():
    forecast = torch.tensor([[1.0, 2.0, 5.0]])
    levels = torch.tensor([0.1, 0.5, 0.9])
    # errors 2, 1, -2: 0.1 * 2, 0.5 * 1, 0.1 * 2
    torch.testing.assert_close(
        pinball(forecast, torch.tensor([3.0]), levels), torch.tensor([[0.2, 0.5, 0.2]])
    )


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_the_constant_with_the_least_pinball_is_the_quantile(level):
    torch.manual_seed(0)
    sample = torch.randn(2001).exp()  # skewed, as delays are
    constants = torch.linspace(0.05, 6, 600)
    losses = torch.stack(
        [pinball(c.expand(2001, 1), sample, torch.tensor([level])).mean() for c in constants]
    )
    best = constants[losses.argmin()]
    torch.testing.assert_close(best, sample.quantile(level), atol=0.02, rtol=0)


def test_at_the_median_pinball_is_half_the_absolute_error():
    forecast, target = torch.randn(50, 1), torch.randn(50)
    torch.testing.assert_close(
        pinball(forecast, target, torch.tensor([0.5]))[:, 0], (target - forecast[:, 0]).abs() / 2
    )


def test_quantiles_rise_whatever_the_weights():
    torch.manual_seed(0)
    head = QuantileHead(4, (0.05, 0.25, 0.5, 0.75, 0.95))
    quantiles = head(torch.randn(200, 4) * 20)
    assert (quantiles.diff(dim=-1) >= 0).all()


def test_the_median_is_the_middle_and_the_others_step_away_from_it():
    head = QuantileHead(1, (0.1, 0.5, 0.8, 0.9))
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(torch.tensor([1.0, 7.0, 2.0, 3.0]))
    up, down = softplus(torch.tensor([2.0, 3.0])), softplus(torch.tensor(1.0))
    expected = torch.stack([7 - down, torch.tensor(7.0), 7 + up[0], 7 + up[0] + up[1]])
    torch.testing.assert_close(head(torch.zeros(1, 1))[0], expected)


@pytest.mark.parametrize("levels", [(), (0.1, 0.9), (0.5, 0.5), (0.9, 0.5, 0.1), (0.0, 0.5), (0.5, 1.0)])
def test_levels_that_make_no_sense_are_refused(levels):
    with pytest.raises(ValueError, match=r"rise inside \(0, 1\) and hold 0.5"):
        check_levels(levels)
