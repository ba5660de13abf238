"""What the encoder does with a context."""

import torch

from lstm.models import Encoder


def encoder(patch: int = 1, **changes: float) -> Encoder:
    torch.manual_seed(0)
    return Encoder(3, 5, 2, dropout=changes.get("dropout", 0.0), patch=patch)


def test_it_is_a_stacked_lstms_last_state():
    model = encoder()
    context = torch.randn(4, 6, 3)
    _, (last, _) = model.lstm(context)
    torch.testing.assert_close(model(context), last[-1])


def test_a_patch_is_successive_rows_side_by_side():
    model = encoder(patch=2)
    context = torch.randn(4, 6, 3)
    steps = torch.stack([torch.cat([context[:, t], context[:, t + 1]], dim=1) for t in (0, 2, 4)], dim=1)
    assert steps.shape == (4, 3, 6)
    torch.testing.assert_close(model(context), model.lstm(steps)[0][:, -1])


def test_the_oldest_row_reaches_the_state_and_its_gradient_comes_back():
    model = encoder()
    context = torch.randn(1, 40, 3, requires_grad=True)
    model(context).sum().backward()
    assert context.grad is not None
    assert (context.grad[0].abs().sum(1) > 0).all()


def test_one_layer_has_no_dropout_and_no_warning():
    Encoder(3, 5, 1, dropout=0.5, patch=1)
