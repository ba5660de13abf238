"""The linear forecast beside the LSTM."""

import torch

from lstm.models import Shortcut


def test_it_starts_as_the_last_row_going_on():
    values = torch.randn(4, 10)
    forecast = Shortcut(10, 3)(values, torch.ones(4, 10))
    torch.testing.assert_close(forecast, values[:, -1:].expand(4, 3))


def test_it_can_learn_any_row_and_what_an_unknown_one_means():
    shortcut = Shortcut(10, 1)
    optimizer = torch.optim.Adam(shortcut.parameters(), lr=0.05)
    for _ in range(400):
        known = (torch.rand(64, 10) < 0.7).float()
        values = torch.randn(64, 10) * known
        target = 2 * values[:, 4:5] + 3 * known[:, 0:1]
        loss = (shortcut(values, known) - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2
