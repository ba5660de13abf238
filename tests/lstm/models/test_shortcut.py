"""The linear forecast beside the LSTM."""

import pytest
import torch

from lstm.models import Shortcut
from lstm.models.shortcut import anchor_rows


def test_it_starts_as_the_mean_of_the_naive_forecasts():
    values = torch.arange(10.0).expand(4, 10)
    forecast = Shortcut(10, 3, (4,))(values, torch.ones(4, 10))
    torch.testing.assert_close(forecast, torch.tensor([7.5, 8.0, 8.5]).expand(4, 3))  # 9 and 6, 7, 8


@pytest.mark.parametrize(
    ("cycles", "rows"),
    [
        ((), [[9, 9, 9]]),
        ((4, 5), [[9, 9, 9], [6, 7, 8], [5, 6, 7]]),
        ((2,), [[9, 9, 9], [8, 9, 8]]),  # the third step repeats the newest whole cycle
        ((1, 4, 4), [[9, 9, 9], [6, 7, 8]]),
        ((10, 11), [[9, 9, 9], [0, 1, 2]]),  # 11 rows back lies before the context
    ],
)
def test_anchors_are_the_last_row_and_the_newest_whole_cycles(cycles, rows):
    assert anchor_rows(10, 3, cycles).T.tolist() == rows


def test_it_soon_trusts_the_anchor_that_is_right():
    torch.manual_seed(0)
    shortcut = Shortcut(10, 1, (4,))
    optimizer = torch.optim.Adam(shortcut.parameters(), lr=2e-3)
    for _ in range(60):
        values = torch.randn(64, 10)
        loss = (shortcut(values, torch.ones(64, 10)) - values[:, 6:7]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.15


def test_it_can_learn_any_row_and_what_an_unknown_one_means():
    torch.manual_seed(0)
    shortcut = Shortcut(10, 1, ())
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
