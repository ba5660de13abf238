"""Which series are told one by one."""

import numpy as np

from lstm.tasks.metrics import Errors
from lstm.tasks.shown_series import ALL, ENDS, shown_series


def errors_of(mae_S: np.ndarray) -> Errors:
    errors = Errors(len(mae_S), 1)
    errors.add(np.zeros((len(mae_S), 1)), mae_S[:, None], np.arange(len(mae_S)))
    return errors


def test_few_series_are_all_told():
    shown, counts = shown_series(
        errors_of(np.array([1.0, np.nan, 3.0])), errors_of(np.array([2.0, np.nan, 2.0]))
    )
    assert shown == [0, 1, 2]
    assert counts == {
        "total": 3,
        "with_known_targets": 2,
        "better_than_last_season": 1,
        "shown": 3,
        "rule": "all",
    }


def test_of_many_the_best_and_the_worst_against_the_season_before_are_told():
    total = ALL + 500
    level = np.random.default_rng(0).permutation(np.logspace(0, 6, total))
    ratio = np.random.default_rng(1).permutation(np.linspace(0.1, 2.0, total))
    ratio[7] = np.nan
    shown, counts = shown_series(errors_of(level * ratio), errors_of(level))
    assert len(shown) == counts["shown"] == 2 * ENDS
    assert (counts["total"], counts["with_known_targets"]) == (total, total - 1)
    known = np.sort(ratio[~np.isnan(ratio)])
    assert sorted(ratio[shown]) == [*known[:ENDS], *known[-ENDS:]]


def test_of_many_without_any_known_target_something_is_told():
    nothing = errors_of(np.full(ALL + 1, np.nan))
    shown, counts = shown_series(nothing, nothing)
    assert (len(shown), counts["with_known_targets"]) == (2 * ENDS, 0)
