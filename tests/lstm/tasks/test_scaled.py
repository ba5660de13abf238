"""MASE and sMAPE, by hand."""

import numpy as np
import pytest

from lstm.tasks.metrics import Errors
from lstm.tasks.scaled import scaled_figures, seasonal_scale
from lstm.tasks.training_rows import TrainingRows

CONTEXT, HORIZON = 48, 6


def rows_of(batch, *series: np.ndarray) -> TrainingRows:
    rows = TrainingRows()
    for number, target in enumerate(series):
        values = np.full((1, CONTEXT + HORIZON, 2), np.nan, np.float32)
        values[0, :, 0] = target
        rows.add(batch([0], series=[number], values=values))
    return rows


def test_the_scale_is_the_change_over_a_season_in_training_rows(batch):
    steps = np.arange(54.0)
    gaps = np.where(steps % 2 == 0, np.nan, steps)
    rows = rows_of(batch, 3 * steps, gaps, np.full(54, 7.0), np.full(54, np.nan))
    # the fourth is never known; the third does not change, so nothing can be measured by it
    np.testing.assert_array_equal(seasonal_scale(rows, 5, 4), [12.0, 4.0, np.nan, np.nan, np.nan])


def test_every_series_weighs_the_same_whatever_its_level():
    errors = Errors(3, 2)
    forecast = np.array([[10.0, 10.0], [3e6, 1e6], [1.0, 1.0]])
    target = np.array([[12.0, 14.0], [1e6, np.nan], [np.nan, np.nan]])
    errors.add(forecast, target, np.arange(3))
    found = scaled_figures(errors, np.array([2.0, 1e6, 1.0]))
    assert found["mase"] == pytest.approx((3 / 2 + 2e6 / 1e6) / 2)
    assert found["mase_series"] == found["smape_series"] == 2
    assert found["smape"] == pytest.approx(((200 * 2 / 22 + 200 * 4 / 24) / 2 + 200 * 2e6 / 4e6) / 2)


def test_zero_forecast_as_zero_is_no_error():
    errors = Errors(1, 2)
    errors.add(np.zeros((1, 2)), np.array([[0.0, 1.0]]), np.array([0]))
    assert scaled_figures(errors, np.array([np.nan])) == {
        "mase": None,
        "mase_series": 0,
        "smape": pytest.approx(100.0),
        "smape_series": 1,
    }
