"""What an evaluation is called in plain words, and what of it is shown."""

import math

import pytest

from lstm.tasks.evaluate import Evaluation
from pipelines.summary import verdict


def evaluation(model: float, target: str = "load", **baselines: float) -> Evaluation:
    """Two series, a and b: their errors are 1 below and 1 above those over all."""

    def report(mae: float) -> dict:
        figures = {"all": mae, "a": mae - 1, "b": mae + 1}
        full = {name: {"mae": error} for name, error in figures.items()}
        return {"all": full.pop("all"), "series": full, "mae_by_step": [mae] * 3}

    own = report(model)
    for figures in (own["all"], *own["series"].values()):
        figures.update(pinball=figures["mae"] / 3, coverage=0.5)
    own["nominal_coverage"] = 0.8
    return Evaluation(
        target=target,
        windows=2,
        model=own,
        baselines={name: report(error) for name, error in baselines.items()},
    )


def test_a_model_that_wins_is_set_against_the_best_baseline():
    found = verdict(evaluation(8, zero=20, ridge=10))
    assert found == "The model beats all baselines: 8.00 against 10.00 of the best, ridge (20.0% less)."


def test_a_model_that_loses_to_one_is_told_so():
    found = verdict(evaluation(12, zero=20, ridge=10))
    assert "LOSES to: ridge (10.00)." in found
    assert "zero" not in found


def test_a_model_that_loses_to_several_is_told_the_best_first():
    found = verdict(evaluation(12, zero=11, ridge=10, median_by_hour_of_week=12))
    assert "LOSES to: ridge (10.00), zero (11.00), median by hour of week (12.00)." in found


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_a_model_without_a_finite_error_beats_nothing(error):
    figures = evaluation(error, zero=20, ridge=10)
    assert figures.lost_to == ("ridge", "zero")
    assert f"error is {error}" in verdict(figures)
    assert "beats all" not in verdict(figures)


def test_a_baseline_without_a_finite_error_is_never_the_best():
    figures = evaluation(12, zero=math.nan, ridge=20)
    assert (figures.lost_to, figures.best_baseline) == ((), "ridge")
    assert "beats all baselines: 12.00 against 20.00" in verdict(figures)
