"""What the forecast promises: no look ahead, the loss that is reported, natural units, and its own state."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lstm.tasks.forecast import ForecastTask
from lstm.tasks.forecast_config import ForecastConfig, WrongForecast
from lstm.windows.features.scaling import Scaling
from lstm.windows.features.series_scaling import SeriesScaling
from lstm.windows.spec import WindowSpec

from .conftest import make_batch, make_task

CONTEXT, HORIZON = 48, 6


def built(task: ForecastTask, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return task.build_model()


class Constant(nn.Module):
    """Forecasts the same raw quantiles for every step."""

    def __init__(self, *quantiles: float) -> None:
        super().__init__()
        self.quantiles = nn.Parameter(torch.tensor(quantiles))

    def forward(self, past: torch.Tensor, known: torch.Tensor, calendar: torch.Tensor) -> torch.Tensor:
        return self.quantiles.expand(len(past), HORIZON, -1)


def test_nothing_of_the_horizon_enters_a_forecast(task, batch):
    model, windows = built(task), batch([0, 7, 300])
    before = task.predict(model, task.inputs(windows))
    rng = np.random.default_rng(0)
    for horizon in (np.nan, 1e9, rng.normal(size=(3, HORIZON, 2)).astype(np.float32)):
        values = windows.values.copy()
        values[:, CONTEXT:] = horizon
        changed = task.inputs(replace(windows, values=values))
        assert np.array_equal(task.predict(model, changed), before)


def test_every_column_of_the_context_enters_a_forecast(task, batch):
    model, windows = built(task), batch([0])
    before = task.predict(model, task.inputs(windows))
    for column in range(2):
        values = windows.values.copy()
        values[:, CONTEXT - 1, column] = 77.0
        assert not np.array_equal(task.predict(model, task.inputs(replace(windows, values=values))), before)


def test_the_hour_of_the_horizon_enters_a_forecast(task, batch):
    model, windows = built(task), batch([0])
    later = replace(windows, times=windows.times + 5 * 3_600_000_000)
    inputs, shifted = task.inputs(windows), task.inputs(later)
    assert not np.array_equal(task.predict(model, inputs), task.predict(model, shifted))


def test_unknown_is_zero_beside_a_mask_of_zero(task, batch):
    windows = batch([0])
    values = windows.values.copy()
    values[0, 3] = [np.nan, 5.0]
    inputs = task.inputs(replace(windows, values=values))
    assert inputs.past[0, 3, 0] == 0
    assert inputs.known[0, 3].tolist() == [0, 1]
    assert not torch.isnan(inputs.past).any()
    assert not torch.isnan(inputs.target).any()


def test_columns_are_scaled_by_their_own_moments_in_the_tasks_order(task, batch):
    assert task.columns == ("delay", "rain")
    windows = batch([0], values=np.full((1, CONTEXT + HORIZON, 2), 20.0, np.float32))
    past = task.inputs(windows).past[0, 0]
    # the target keeps its zero, linear up to a quarter of its deviation (10); rain is (20 - 1) / 2
    np.testing.assert_allclose(past, [np.arcsinh(20 / 10), np.arcsinh(9.5)], rtol=1e-6)


def test_predictions_are_in_natural_units(task, batch):
    raw = np.arcsinh([-5 / 10, 20 / 10, 90 / 10])
    forecast = task.predict(Constant(*raw), task.inputs(batch([0])))
    assert forecast.dtype == np.float32
    np.testing.assert_allclose(forecast[0, 0], [-5, 20, 90], rtol=1e-5)


def test_the_loss_is_pinball_over_known_targets_in_deviations(task, batch):
    windows = batch([0])
    values = windows.values.copy()
    values[0, CONTEXT:, 0] = [np.nan, 30.0, np.nan, np.nan, -10.0, np.nan]
    loss, count = task.loss(
        Constant(*np.arcsinh([0.0, 1.0, 2.0])), task.inputs(replace(windows, values=values))
    )
    assert count == 2
    # forecasts 0, 10, 20: errors 30, 20, 10 and -10, -20, -30, at 0.1, 0.5, 0.9
    pinball = (0.1 * 30 + 0.5 * 20 + 0.9 * 10) / 3 + (0.9 * 10 + 0.5 * 20 + 0.1 * 30) / 3
    assert loss.item() == pytest.approx(pinball / 40, rel=1e-5)


@pytest.mark.parametrize("windows", [0, 3])
def test_a_batch_without_known_targets_still_reaches_every_parameter(task, batch, windows):
    model = built(task)
    values = batch(list(range(windows))).values.copy()
    values[:, CONTEXT:, 0] = np.nan
    loss, count = task.loss(model, task.inputs(batch(list(range(windows)), values=values)))
    loss.backward()
    assert loss.item() == count.item() == 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


def test_within_a_stage_only_the_first_rows_of_the_horizon_count(task, batch):
    inputs, model = task.inputs(batch([0, 1, 2])), built(task).eval()
    loss, count = task.loss(model, inputs.within(2))
    far = replace(inputs, target=inputs.target.clone())
    far.target[:, 2:] = 1e6
    assert count == inputs.target_known[:, :2].sum()
    assert task.loss(model, far.within(2))[0] == loss
    assert task.loss(model, inputs.within(HORIZON))[1] == inputs.target_known.sum()


def test_a_batch_without_windows_has_an_empty_forecast(task, batch):
    assert task.predict(built(task), task.inputs(batch([]))).shape == (0, HORIZON, 3)


def test_parts_of_a_batch_add_up_to_its_loss(task, batch):
    model = built(task).eval()
    windows = batch([0, 10, 20, 30])
    whole, count = task.loss(model, task.inputs(windows))
    parts = [
        task.loss(model, task.inputs(batch(windows.starts[rows].tolist(), values=windows.values[rows])))
        for rows in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close(sum(loss for loss, _ in parts), whole)
    assert sum(known.item() for _, known in parts) == count.item()


def test_a_model_with_wild_weights_forecasts_finite_numbers_that_do_not_cross(task, batch):
    model = built(task)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(100)
    forecast = task.predict(model, task.inputs(batch([0, 1])))
    assert np.isfinite(forecast).all()
    assert (np.diff(forecast, axis=-1) >= 0).all()


def test_predicting_leaves_the_models_mode_and_randomness_alone(task, batch):
    model, inputs = built(task).train(), task.inputs(batch([0]))
    state = torch.get_rng_state()
    assert np.array_equal(task.predict(model, inputs), task.predict(model, inputs))
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_training_lowers_the_loss_of_a_pattern_that_can_be_learned(task, batch):
    windows = batch(list(range(0, 24 * 16, 3)))
    hours = (windows.times // 3_600_000_000) % 24
    values = windows.values.copy()
    values[..., 0] = np.where(hours < 12, 0.0, 50.0)
    model, inputs = built(task), task.inputs(replace(windows, values=values))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss, count = task.loss(model, inputs)
        (loss / count).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append((loss / count).item())
    assert losses[-1] < 0.2 * losses[0]


def test_the_state_survives_json_to_the_bit(batch):
    scaling = Scaling(columns=("delay", "rain"), count=(9, 9), mean=(0.1, 1 / 3), std=(2 / 3, 1e-3))
    config = ForecastConfig(target="delay", past=("rain",), quantiles=(0.2, 0.5, 0.8), hidden=4)
    window = WindowSpec(context=CONTEXT, horizon=HORIZON)
    task = ForecastTask(config, window=window, series=("a", None, 3), scaling=scaling)
    again = ForecastTask.from_state(json.loads(json.dumps(task.state())))
    assert again.state() == task.state()
    assert again.config == config
    assert again.series == ("a", None, 3)
    windows = batch([0, 5])
    one, two = (t.predict(built(t), t.inputs(windows)) for t in (task, again))
    assert np.array_equal(one, two)


def test_a_task_frozen_before_seasons_and_clocks_still_loads(task):
    state = json.loads(json.dumps(task.state()))
    for name in ("season", "scale", "shortcut"):
        del state["config"][name]
    del state["clock"]
    again = ForecastTask.from_state(state)
    config = again.config
    assert (config.season, config.scale, config.shortcut) == (168, "asinh", False)
    assert not [name for name in built(again).state_dict() if "shortcut" in name]
    assert again.clock.seasonal(again.config.season) == "same hour last week"


def test_the_same_seed_builds_the_same_model(task):
    one, two, other = built(task, 1), built(task, 1), built(task, 2)
    for name, weights in one.state_dict().items():
        assert torch.equal(weights, two.state_dict()[name])
    assert any(not torch.equal(w, other.state_dict()[n]) for n, w in one.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": ""}, "target must name a column"),
        ({"past": ("rain", "delay")}, r"twice: \['delay'\]"),
        ({"quantiles": (0.1, 0.9)}, "hold 0.5"),
        ({"timezone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
        ({"hidden": 0}, "hidden must be >= 1, got 0"),
        ({"season": 0}, "season must be >= 1, got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"scale": "log"}, "scale must be linear, window, asinh, series, got 'log'"),
        ({"linear": 0.0}, "linear must be > 0, got 0.0"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ForecastConfig(**{"target": "delay", **changes})


def test_a_patch_that_does_not_divide_the_context_is_refused():
    with pytest.raises(WrongForecast, match="48 rows cannot be cut into patches of 5"):
        _task(patch=5)


def test_a_column_without_scaling_is_refused():
    with pytest.raises(WrongForecast, match=r"no scaling for columns \['snow'\]"):
        _task(past=("snow",))


def test_a_column_that_training_never_knows_is_refused():
    with pytest.raises(WrongForecast, match=r"columns \['rain'\] hold no known value"):
        _task(past=("rain",))


def test_a_constant_column_becomes_zero(batch):
    scaling = Scaling(columns=("delay", "rain"), count=(9, 9), mean=(0.0, 7.0), std=(1.0, 0.0))
    window = WindowSpec(context=CONTEXT, horizon=HORIZON)
    task = ForecastTask(
        ForecastConfig(target="delay", past=("rain",)), window=window, series=("a",), scaling=scaling
    )
    windows = batch([0], values=np.full((1, CONTEXT + HORIZON, 2), 7.0, np.float32))
    assert not task.inputs(windows).past[..., 1].any()


def _task(**changes: object) -> ForecastTask:
    scaling = Scaling(columns=("delay", "rain"), count=(9, 0), mean=(0.0, 0.0), std=(1.0, 0.0))
    return ForecastTask(
        ForecastConfig(**{"target": "delay", **changes}),
        window=WindowSpec(context=CONTEXT, horizon=HORIZON),
        series=("a",),
        scaling=scaling,
    )


def test_what_was_filled_is_seen_but_counts_as_unknown():
    task = make_task(nulls={"rain": "forward_fill"})
    batch = make_batch([0, 5])
    values = np.nan_to_num(batch.values, nan=3.0)
    flags = np.zeros((*values.shape[:2], 1), np.float32)
    flags[0, 7:9] = 1
    inputs = task.inputs(replace(batch, values=np.concatenate([values, flags], axis=2)))
    assert inputs.past.shape == inputs.known.shape == (2, CONTEXT, 2)
    assert inputs.known[0, 6:10, 1].tolist() == [1, 0, 0, 1]
    assert inputs.known[1].all()
    assert inputs.known[..., 0].all()
    unfilled = make_task().inputs(replace(batch, values=values))
    assert torch.equal(inputs.past, unfilled.past)


def test_with_scale_series_each_series_is_seen_in_its_own_unit():
    whole = Scaling(columns=("delay",), count=(99,), mean=(10.0,), std=(40.0,))
    by_series = SeriesScaling(
        ("EWR-UA", "ORD-AA"),
        np.array([[9], [9]]),
        np.array([[100.0], [5.0]]),
        np.array([[2.0], [0.0]]),
        whole,
    )
    with pytest.raises(WrongForecast, match="by series"):
        make_task(scale="series")
    one = make_task()
    task = ForecastTask(
        replace(one.config, scale="series"),
        window=one.window,
        series=("EWR-UA", "JFK-B6", "ORD-AA"),
        scaling=one.scaling,
        by_series=by_series,
    )
    assert task.unmeasured == ("JFK-B6",)
    batch = make_batch([0, 3, 9], series=[0, 1, 2])
    inputs = task.inputs(batch)
    assert inputs.level[:, 0].tolist() == [100, 10, 5]
    assert inputs.spread[:, 0].tolist() == [2, 40, 40]
    expected = (batch.values[0, :CONTEXT, 0] - 100) / 2
    assert np.allclose(inputs.past[0, :, 0].numpy(), np.nan_to_num(expected), atol=1e-4)
    again = ForecastTask.from_state(json.loads(json.dumps(task.state())))
    assert again.state() == task.state()
    assert torch.equal(again.inputs(batch).past, inputs.past)
