"""Per-window scaling."""

import torch

from lstm.models import InstanceScale
from lstm.models.instance import PRIOR_ROWS


def test_level_and_spread_by_hand():
    values = torch.tensor([[4.0, 8.0, 99.0, 6.0]])
    known = torch.tensor([[1.0, 1.0, 0.0, 1.0]])  # the 99 is not known
    scale = InstanceScale.of(values, known)
    level = 18 / (3 + PRIOR_ROWS)
    squares = sum((x - level) ** 2 for x in (4, 8, 6))
    torch.testing.assert_close(scale.level, torch.tensor([[level]]))
    torch.testing.assert_close(
        scale.spread, torch.tensor([[((squares + PRIOR_ROWS) / (3 + PRIOR_ROWS)) ** 0.5]])
    )


def test_a_window_of_which_nothing_is_known_is_left_as_it_is():
    scale = InstanceScale.of(torch.zeros(2, 5), torch.zeros(2, 5))
    assert torch.equal(scale.level, torch.zeros(2, 1))
    assert torch.equal(scale.spread, torch.ones(2, 1))


def test_undo_gives_back_what_apply_was_given():
    torch.manual_seed(0)
    values = torch.randn(3, 24) * torch.tensor([[0.1], [1.0], [50.0]]) + 7
    known = torch.ones(3, 24)
    scale = InstanceScale.of(values, known)
    again = scale.undo(scale.apply(values, known).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(again, values)


def test_long_windows_of_any_level_and_spread_look_alike():
    torch.manual_seed(0)
    wave = torch.randn(1, 5000)
    known = torch.ones(1, 5000)
    calm = InstanceScale.of(wave, known).apply(wave, known)
    wild = InstanceScale.of(30 * wave - 200, known).apply(30 * wave - 200, known)
    torch.testing.assert_close(calm, wild, atol=0.01, rtol=0.01)


def test_what_is_unknown_counts_for_nothing():
    values, known = torch.randn(1, 10), torch.ones(1, 10)
    known[0, 4] = 0
    other = values.clone()
    other[0, 4] = 1e6
    one, two = InstanceScale.of(values, known), InstanceScale.of(other, known)
    assert torch.equal(one.level, two.level)
    assert torch.equal(one.apply(values, known), two.apply(other, known))
