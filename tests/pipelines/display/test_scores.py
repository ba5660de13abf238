"""What an evaluation is called in plain words, and what of it is shown."""

import io
import json
import math

import pytest
from rich.console import Console

from lstm.tasks.evaluate import Evaluation
from pipelines.display.scores import metric_rows, series_table, verdict
from pipelines.display.summary import _measured


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


def test_each_series_figures_stand_beside_those_of_every_baseline():
    figures = evaluation(8, zero=20, ridge=10)
    rows = {(row["forecast"], row["series"]): row["mae"] for row in metric_rows(figures)}
    assert rows == {
        (name, series): error + shift
        for name, error in {"model": 8, "zero": 20, "ridge": 10}.items()
        for series, shift in {"all": 0, "a": -1, "b": 1}.items()
    }
    console = Console(width=80, file=io.StringIO())
    with console.capture() as shown:
        console.print(series_table(figures))
    lines = [line.split() for line in shown.get().splitlines()]
    assert ["a", "7.00", "19.00", "9.00", "2.33", "50%"] in lines
    assert ["b", "9.00", "21.00", "11.00", "3.00", "50%"] in lines


def test_of_many_series_those_with_the_lowest_and_the_highest_errors_are_told():
    figures = evaluation(8, zero=20)
    for report in (figures.model, *figures.baselines.values()):
        one = report["series"].pop("b")
        report["series"] |= {f"s{number}": {**one, "mae": float(number)} for number in range(100)}
    table = series_table(figures)
    names = list(table.columns[0].cells)
    assert names == [
        *(f"s{n}" for n in range(7)),
        "a",
        *(f"s{n}" for n in range(7, 11)),
        *(f"s{n}" for n in range(88, 100)),
    ]


def test_a_series_name_cannot_drive_the_terminal():
    figures = evaluation(8, zero=20)
    for report in (figures.model, *figures.baselines.values()):
        report["series"]["\x1b[31mred\nline"] = report["series"].pop("b")
    assert list(series_table(figures).columns[0].cells) == ["a", "\ufffd[31mred\ufffdline"]


def test_one_series_is_not_told_twice():
    figures = evaluation(8, zero=20)
    for report in (figures.model, *figures.baselines.values()):
        del report["series"]["b"]
    assert series_table(figures) is None


def test_rows_for_prefect_are_json_whatever_the_errors():
    json.dumps(metric_rows(evaluation(math.nan, zero=math.inf)), allow_nan=False)


def test_only_the_demos_own_target_is_called_a_delay_in_minutes():
    assert "departure delay, 1 to 3 hours ahead, 2 test windows, minutes" in _measured(evaluation(8, "delay"))
    assert _measured(evaluation(8)) == "'load', 1 to 3 hours ahead, 2 test windows, in its own unit:"
