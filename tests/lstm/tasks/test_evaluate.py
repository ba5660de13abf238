"""An evaluation sets the model and the baselines against the same targets."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from lstm.tasks.clock import Clock
from lstm.tasks.evaluate import evaluate
from lstm.tasks.forecast import ForecastTask
from lstm.tasks.forecast_config import WrongForecast

CONTEXT, HORIZON = 48, 6


class Always(nn.Module):
    """Forecasts the same three raw numbers, whatever it sees."""

    def __init__(self, *quantiles: float) -> None:
        super().__init__()
        self.quantiles = torch.tensor(quantiles)

    def forward(self, past: torch.Tensor, known: torch.Tensor, calendar: torch.Tensor) -> torch.Tensor:
        return self.quantiles.expand(len(past), HORIZON, -1)


def series_of(batch, value: float, starts: list[int]):
    values = np.full((len(starts), CONTEXT + HORIZON, 2), value, np.float32)
    return batch(starts, values=values)


def test_the_same_windows_are_scored_for_all(task, batch):
    train = [series_of(batch, 10.0, list(range(20)))]
    test = [series_of(batch, 20.0, [400, 401]), series_of(batch, 20.0, [402])]
    perfect = Always(*np.arcsinh([1.0, 2.0, 3.0]))  # 10, 20, 30 minutes
    result = evaluate(task, perfect, test=test, train=train)
    assert result.windows == 3
    assert result.model["known"] == 3 * HORIZON
    assert result.model["all"]["mae"] == pytest.approx(0, abs=1e-5)
    assert result.model["all"]["coverage"] == 1.0
    assert {name: report["known"] for name, report in result.baselines.items()} == dict.fromkeys(
        ["same_time_last_season", "ridge", "zero", "median_by_hour_of_week"], 3 * HORIZON
    )
    assert result.baselines["zero"]["all"]["mae"] == pytest.approx(20)
    assert result.baselines["median_by_hour_of_week"]["all"]["mae"] == pytest.approx(10)
    assert result.lost_to == ()


def test_a_model_that_loses_says_to_whom_the_best_first(task, batch):
    train = [series_of(batch, 10.0, list(range(20)))]
    wrong = Always(*np.arcsinh([0.0, 3.2, 4.0]))  # 32 minutes, where 20 is right
    result = evaluate(task, wrong, test=[series_of(batch, 20.0, [400])], train=train)
    assert result.model["all"]["mae"] == pytest.approx(12, rel=1e-5)
    assert "zero" not in result.lost_to
    errors = [result.baselines[name]["all"]["mae"] for name in result.lost_to]
    assert errors == sorted(errors)
    assert "median_by_hour_of_week" in result.lost_to
    assert result.best_baseline == result.lost_to[0]


def test_the_result_is_json_and_the_same_each_time(task, batch):
    train, test = [batch(list(range(40)))], [batch([300, 310])]
    torch.manual_seed(0)
    model = task.build_model()
    one, two = (evaluate(task, model, test=test, train=train).to_json() for _ in range(2))
    assert json.dumps(one, allow_nan=False) == json.dumps(two, allow_nan=False)
    assert set(one["model"]["series"]) == {"EWR-UA", "JFK-B6"}


def test_a_test_split_without_a_known_target_is_refused(task, batch):
    test = [series_of(batch, float("nan"), [400])]
    with pytest.raises(WrongForecast, match="none of the 1 test windows has a known 'delay'"):
        evaluate(task, task.build_model(), test=test, train=[batch(list(range(20)))])


def test_the_season_of_the_clock_and_unitless_figures_are_told(task, batch):
    result = evaluate(task, task.build_model(), test=[batch([300])], train=[batch(list(range(40)))])
    assert result.name("same_time_last_season") == "same hour last week"
    assert result.name("model") == "model"
    assert result.series["rule"] == "all"
    for report in (result.model, *result.baselines.values()):
        assert set(report["scaled"]) == {"mase", "mase_series", "smape", "smape_series"}
    ordinal = ForecastTask(
        task.config, window=task.window, series=task.series, scaling=task.scaling, clock=Clock(ordinal=True)
    )
    names = evaluate(ordinal, ordinal.build_model(), test=[batch([300])], train=[batch([0, 9])]).names
    assert names["same_time_last_season"] == "same row one season (168 rows) before"
    assert names["median_by_hour_of_week"] == "median"
