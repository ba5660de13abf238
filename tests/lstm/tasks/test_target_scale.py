"""The unit in which a model sees its target, and that it never makes a number that is none."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lstm.tasks.forecast import ForecastTask
from lstm.tasks.forecast_config import ForecastConfig
from lstm.tasks.target_scale import SCALES, TargetScale
from lstm.windows.features.scaling import Scaling
from lstm.windows.features.series_scaling import SeriesScaling
from lstm.windows.spec import WindowSpec

CONTEXT, HORIZON = 48, 6


def scaled(scale: str, *, mean: float = 10.0, std: float = 40.0, **config: object) -> ForecastTask:
    whole = Scaling(columns=("delay",), count=(99,), mean=(mean,), std=(std,))
    own = np.array([[mean], [mean]]), np.array([[std], [std]])
    return ForecastTask(
        ForecastConfig(**{"target": "delay", "past": ("rain",), "hidden": 8, "scale": scale, **config}),
        window=WindowSpec(context=CONTEXT, horizon=HORIZON),
        series=("a", "b"),
        scaling=Scaling(columns=("delay", "rain"), count=(99, 99), mean=(mean, 1.0), std=(std, 2.0)),
        by_series=SeriesScaling(("a", "b"), np.array([[9], [9]]), *own, whole) if scale == "series" else None,
    )


class Echo(torch.nn.Module):
    """Forecasts the last value that it sees."""

    def forward(self, past: torch.Tensor, known: torch.Tensor, calendar: torch.Tensor) -> torch.Tensor:
        return past[:, -1, 0].reshape(-1, 1, 1).expand(-1, HORIZON, 3)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("level", [-3.0, 0.0, 250.0])
def test_what_goes_in_comes_out_in_natural_units(scale, level, batch):
    windows = batch([0, 5])
    windows.values[:, CONTEXT - 1, 0] = level
    task = scaled(scale)
    forecast = task.predict(Echo(), task.inputs(windows))
    np.testing.assert_allclose(forecast, level, rtol=1e-5, atol=1e-4)


def test_windows_of_any_level_look_alike_and_weigh_alike(batch):
    """One series a million times the other: the same inputs, the same loss."""
    task, windows = scaled("window", mean=5e5, std=5e5), batch([0])
    windows.values[..., 0] = 10 + np.sin(np.arange(CONTEXT + HORIZON))
    large = replace(windows, values=windows.values * np.array([1e6, 1.0], np.float32))
    torch.manual_seed(0)
    model = task.build_model().eval()
    small, big = task.inputs(windows), task.inputs(large)
    # as alike as the floor under a spread leaves them: a ten-thousandth of the table's deviation
    task = scaled("window", mean=5e5, std=1.0)
    small, big = task.inputs(windows), task.inputs(large)
    torch.testing.assert_close(small.past, big.past, rtol=1e-3, atol=1e-3)
    losses = [task.loss(model, inputs)[0].item() for inputs in (small, big)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


@pytest.mark.parametrize("scale", ["linear", "window"])
def test_a_small_change_on_a_high_level_is_seen_and_forecast(scale, batch):
    """Air pressure in pascals: 101,325 give or take 500. A logarithm would see nothing of it."""
    task, windows = scaled(scale, mean=101_325.0, std=500.0), batch([0])
    windows.values[..., 0] = 101_325 + 500 * np.sin(np.arange(CONTEXT + HORIZON) / 4)
    inputs = task.inputs(windows)
    assert 0.5 < inputs.past[0, :, 0].std() < 2
    forecast = task.predict(Echo(), inputs)
    np.testing.assert_allclose(forecast[0, 0], windows.values[0, CONTEXT - 1, 0], rtol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("value", [0.0, 7.0, 1e6, -1e-6])
def test_a_constant_target_gives_finite_losses_and_forecasts(scale, value, batch):
    task = scaled(scale, mean=value, std=0.0)
    windows = batch([0, 9])
    windows.values[..., 0] = value
    torch.manual_seed(0)
    model, inputs = task.build_model(), task.inputs(windows)
    loss, count = task.loss(model, inputs)
    (loss / count).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    assert np.isfinite(task.predict(model, inputs)).all()


@pytest.mark.parametrize("scale", SCALES)
def test_a_window_without_any_known_target_has_finite_inputs(scale, batch):
    task, windows = scaled(scale), batch([0])
    windows.values[:, :CONTEXT, 0] = np.nan
    inputs = task.inputs(windows)
    assert not inputs.past[..., 0].any()
    assert torch.isfinite(inputs.level).all()
    assert (inputs.spread > 0).all()


def test_a_jump_after_a_window_that_did_not_move_weighs_no_more_than_others_in_the_gradient(batch):
    task, windows = scaled("window"), batch([0, 1])
    windows.values[..., 0] = 5.0
    windows.values[1, CONTEXT:, 0] = 1e6
    torch.manual_seed(0)
    model = task.build_model()
    loss, count = task.loss(model, task.inputs(windows))
    (loss / count).backward()
    norm = torch.sqrt(sum(parameter.grad.square().sum() for parameter in model.parameters()))
    assert norm < 50


@pytest.mark.parametrize("scale", SCALES)
def test_a_broken_model_forecasts_finite_numbers(scale, batch):
    class Broken(torch.nn.Module):
        def forward(self, past: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            return torch.full((len(past), HORIZON, 3), 1e30)

    task = scaled(scale)
    assert np.isfinite(task.predict(Broken(), task.inputs(batch([0])))).all()


def test_the_scale_is_the_same_for_a_window_whatever_its_horizon_holds():
    scale = TargetScale(scale="window", mean=0.0, deviation=1.0, linear=0.25)
    past = np.array([[1.0, np.nan, 3.0]], np.float32)
    level, spread = scale.measure(past)
    assert (level.item(), level.dtype) == (2.0, np.float32)
    least = (0.02 * 2) ** 2 + 1e-8
    assert spread.item() == pytest.approx(np.sqrt((2 + 5 * least) / 7), rel=1e-6)
