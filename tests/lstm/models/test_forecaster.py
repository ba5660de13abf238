"""The forecaster's wiring."""

import pytest
import torch

from lstm.models import Forecaster
from lstm.models.forecaster import lagged_rows

B, C, H, F, K = 3, 48, 6, 2, 4


def forecaster(**changes: object) -> Forecaster:
    torch.manual_seed(0)
    settings: dict[str, object] = {
        "features": F,
        "calendar": K,
        "context": C,
        "horizon": H,
        "hidden": 8,
        "layers": 2,
        "dropout": 0.0,
        "patch": 4,
        "lag": 12,
        "levels": (0.1, 0.5, 0.9),
        "shortcut": (12,),
    }
    return Forecaster(**{**settings, **changes})


def window(b: int = B) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    known = (torch.rand(b, C, F) < 0.7).float()
    return torch.randn(b, C, F) * known, known, torch.randn(b, C + H, K)


def test_a_forecast_has_a_quantile_per_step_and_level():
    forecast = forecaster()(*window())
    assert forecast.shape == (B, H, 3)
    assert (forecast.diff(dim=-1) >= 0).all()


def test_every_parameter_learns_from_a_batch():
    model = forecaster()
    model(*window()).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_batch_without_windows_gives_every_parameter_a_gradient_of_zero():
    model = forecaster()
    forecast = model(*window(0))
    assert forecast.shape == (0, H, 3)
    forecast.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


def test_a_window_is_forecast_the_same_in_any_batch():
    model, (past, known, calendar) = forecaster().eval(), window()
    alone = model(past[1:2], known[1:2], calendar[1:2])
    torch.testing.assert_close(model(past, known, calendar)[1:2], alone)


def test_a_step_follows_its_own_calendar():
    model, (past, known, calendar) = forecaster().eval(), window()
    before = model(past, known, calendar)
    calendar[:, C + 2] += 1
    changed = (model(past, known, calendar) - before).abs().amax(dim=(0, 2))
    assert (changed > 0).tolist() == [False, False, True, False, False, False]


def test_lagged_rows_lie_whole_lags_before_each_step():
    # context 10, lag 4: step 0 is row 10, so rows 6 and 2; step 2 is row 12, so rows 8 and 4
    assert lagged_rows(10, 3, 4).tolist() == [[6, 2], [7, 3], [8, 4]]


@pytest.mark.parametrize(("context", "horizon", "lag"), [(168, 24, 24), (48, 6, 24), (50, 30, 24), (5, 3, 7)])
def test_lagged_rows_stay_inside_the_context(context, horizon, lag):
    rows = lagged_rows(context, horizon, lag)
    assert rows.shape[0] == horizon
    assert ((rows >= 0) & (rows < context)).all()
    steps = context + torch.arange(horizon).unsqueeze(1)
    assert ((steps - rows) % lag == 0).all()


def test_a_context_shorter_than_one_lag_still_forecasts():
    model = forecaster(lag=C + 1)
    assert model.lags.shape == (H, 0)
    assert model(*window()).shape == (B, H, 3)
