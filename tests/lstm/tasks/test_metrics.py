"""The figures, by hand; and that parts add up."""

import json

import numpy as np
import pytest

from lstm.tasks.metrics import Errors, QuantileErrors

NAN = np.nan


def test_mean_absolute_error_by_hand():
    errors = Errors(series=2, horizon=2)
    forecast = np.array([[1.0, 2.0], [0.0, 0.0], [5.0, 5.0]])
    target = np.array([[3.0, NAN], [-1.0, 4.0], [5.0, NAN]])
    errors.add(forecast, target, np.array([0, 1, 0]))
    report = errors.report({0: "a", 1: "b"})
    assert report["known"] == 4
    assert report["all"] == {"mae": pytest.approx((2 + 1 + 4 + 0) / 4)}
    assert report["series"] == {"a": {"mae": pytest.approx(1.0)}, "b": {"mae": pytest.approx(2.5)}}
    assert report["mae_by_step"] == [pytest.approx(1.0), pytest.approx(4.0)]


def test_pinball_and_coverage_by_hand():
    errors = QuantileErrors(1, 2, (0.1, 0.5, 0.9))
    forecast = np.array([[[0.0, 10.0, 20.0], [0.0, 10.0, 20.0]], [[0.0, 10.0, 20.0], [0.0, 10.0, 20.0]]])
    target = np.array([[30.0, 20.0], [5.0, NAN]])
    errors.add(forecast, target, np.array([0, 0]))
    report = errors.report({0: "a"})
    assert report["all"]["mae"] == pytest.approx((20 + 10 + 5) / 3)
    low = 0.1 * 30 + 0.1 * 20 + 0.1 * 5
    middle = 0.5 * (20 + 10 + 5)
    high = 0.9 * 10 + 0.9 * 0 + 0.1 * 15
    assert report["all"]["pinball"] == pytest.approx((low + middle + high) / 3 / 3)
    assert report["pinball_by_level"] == {
        "0.1": pytest.approx(low / 3),
        "0.5": pytest.approx(middle / 3),
        "0.9": pytest.approx(high / 3),
    }
    assert report["all"]["coverage"] == pytest.approx(2 / 3)  # 30 is outside, 20 on the edge
    assert report["nominal_coverage"] == 0.8
    assert report["pinball_by_step"] == [
        pytest.approx((0.1 * 30 + 0.5 * 20 + 0.9 * 10 + 0.1 * 5 + 0.5 * 5 + 0.1 * 15) / 3 / 2),
        pytest.approx((0.1 * 20 + 0.5 * 10) / 3),
    ]
    assert report["coverage_by_step"] == [0.5, 1.0]
    below = {"0.1": 0.0, "0.5": pytest.approx(1 / 3), "0.9": pytest.approx(2 / 3)}
    assert report["below_by_level"] == below  # 20 is up to the quantile of 20, 30 above all
    assert report["below_by_level"] == {"0.1": 0, "0.5": pytest.approx(1 / 3), "0.9": pytest.approx(2 / 3)}
    assert report["coverage_by_step"] == [0.5, 1.0]


def test_a_hundred_thousand_series_cost_megabytes_not_gigabytes():
    errors = QuantileErrors(100_000, 144, (0.1, 0.5, 0.9))
    assert sum(value.nbytes for value in errors.sums().values()) < 8_000_000


def test_parts_in_any_cut_give_the_figures_of_the_whole():
    rng = np.random.default_rng(0)
    forecast = np.sort(rng.normal(size=(50, 4, 3)), axis=-1)
    target = rng.normal(size=(50, 4))
    target[rng.random(target.shape) < 0.5] = NAN
    series = rng.integers(0, 3, 50)

    def over(rows: slice) -> QuantileErrors:
        errors = QuantileErrors(3, 4, (0.1, 0.5, 0.9))
        errors.add(forecast[rows], target[rows], series[rows])
        return errors

    whole, parts = over(slice(None)), over(slice(0, 7))
    parts.merge(over(slice(7, 8)))
    parts.merge(over(slice(8, 50)))
    assert len(whole.sums()) == 11
    for name, mine in parts.sums().items():
        np.testing.assert_allclose(mine, whole.sums()[name], rtol=1e-12)


def test_what_is_unknown_has_no_figure_and_is_no_number_in_json():
    errors = QuantileErrors(2, 1, (0.1, 0.5, 0.9))
    errors.add(np.zeros((1, 1, 3)), np.array([[1.0]]), np.array([0]))
    report = json.loads(json.dumps(errors.report({0: "a", 1: "b"}), allow_nan=False))
    assert report["series"]["b"] == {"mae": None, "pinball": None, "coverage": None}


def test_the_same_series_twice_in_a_batch_counts_twice():
    errors = Errors(1, 1)
    errors.add(np.zeros((3, 1)), np.ones((3, 1)), np.zeros(3, np.int64))
    assert errors.report({0: "a"})["known"] == 3
