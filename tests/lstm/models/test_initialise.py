"""How an LSTM starts."""

import torch
from torch import nn

from lstm.models import initialise_lstm

H = 8


def started(seed: int = 0) -> nn.LSTM:
    torch.manual_seed(seed)
    lstm = nn.LSTM(3, H, num_layers=2, batch_first=True)
    initialise_lstm(lstm)
    return lstm


def test_the_forget_gates_bias_is_one_and_all_others_are_zero():
    for layer in range(2):
        weights = dict(started().named_parameters())
        total = weights[f"bias_ih_l{layer}"] + weights[f"bias_hh_l{layer}"]
        expected = torch.zeros(4 * H)
        expected[H : 2 * H] = 1.0  # PyTorch's order: input, forget, cell, output
        assert torch.equal(total, expected)


def test_each_gates_recurrence_is_orthogonal():
    for name, weights in started().named_parameters():
        if name.startswith("weight_hh"):
            for gate in weights.detach().chunk(4):
                torch.testing.assert_close(gate @ gate.T, torch.eye(H), atol=1e-5, rtol=0)


def test_input_weights_stay_within_glorots_bound_of_their_own_gate():
    weights = dict(started().named_parameters())["weight_ih_l0"]
    bound = (6 / (3 + H)) ** 0.5
    assert 0.5 * bound < weights.abs().max() <= bound


def test_the_same_seed_gives_the_same_weights():
    one, same, other = started(1), started(1), started(2)
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.weight_hh_l0, other.weight_hh_l0)


def test_the_forget_gate_is_open_where_nothing_comes_in():
    """With no input and no state a cell keeps sigmoid(1) = 73% of what it holds, per step."""
    lstm = started()
    cell = torch.zeros(2, 1, H)
    cell[0] = 1e-3  # so small that the recurrence adds next to nothing
    _, (_, after) = lstm(torch.zeros(1, 1, 3), (torch.zeros(2, 1, H), cell))
    torch.testing.assert_close(after[0], cell[0] * torch.sigmoid(torch.tensor(1.0)))
