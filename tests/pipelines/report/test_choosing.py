"""Which series and windows are shown: those whose errors say most, and horizons that never overlap."""

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import OrderSpec, SplitSpec, WindowSpec, index_snapshot, make_plan
from pipelines.report.choosing import WINDOWS, choose, last_windows
from tests.lstm.windows.memory_table import MemorySnapshot


def plan(lengths: dict[str, list[range]], *, stride: int = 1, test: float = 0.5):
    rows = [(name, time) for name in sorted(lengths) for part in lengths[name] for time in part]
    table = pa.table(
        {"name": [name for name, _ in rows], "t": pa.array([time for _, time in rows], pa.int64())}
    )
    index = index_snapshot(MemorySnapshot([[table]]), entity="name", time="t", max_gap=1)
    window = WindowSpec(context=4, horizon=3, stride=stride)
    return make_plan(index, window, SplitSpec(validation=0.0, test=test), OrderSpec(lanes=2, pool=1))


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_horizons_do_not_overlap_and_are_the_last_ones(stride):
    made = plan({"a": [range(100)], "b": [range(100)]}, stride=stride)
    windows = made.split_windows("test")
    _, _, every = windows.locate(np.arange(windows.total))
    for series in (0, 1):
        starts = last_windows(made, "test", series)
        assert len(starts) == WINDOWS
        assert set(starts) <= set(every)
        assert (np.diff(starts) >= 3).all()
        low, high = made.segments.series_first[series : series + 2]
        own = every[(every >= low) & (every < high)]
        assert starts[-1] == own.max()


def test_gaps_are_stepped_over():
    made = plan({"a": [range(60), range(62, 70), range(72, 79), range(90, 100)]})
    starts = last_windows(made, "test", 0)
    _, _, every = made.split_windows("test").locate(np.arange(made.windows("test")))
    assert set(starts) <= set(every)
    assert len(starts) > 3
    assert (np.diff(starts) >= 3).all()


def test_best_median_worst_and_first_are_shown_once_each():
    names = [f"s{n:02}" for n in range(30)]
    made = plan({name: [range(40)] for name in names})
    errors = {name: {"mae": float((7 * n) % 30)} for n, name in enumerate(names)}
    chosen = choose(made, "test", errors)
    assert len(chosen) == len({each.series for each in chosen}) <= 12
    by_why = {}
    for each in chosen:
        by_why.setdefault(each.why, []).append(errors[names[each.series]]["mae"])
    assert by_why["lowest error"] == [0, 1, 2]
    assert by_why["highest error"] == [29, 28, 27]
    assert sorted(by_why["median error"]) == [14, 15, 16]


def test_errors_of_some_series_only_have_no_median():
    made = plan({f"s{n}": [range(40)] for n in range(20)})
    chosen = choose(made, "test", {f"s{n}": {"mae": n} for n in range(6)})
    assert "median error" not in {each.why for each in chosen}


def test_series_without_windows_or_errors_are_no_trouble():
    made = plan({"a": [range(40)], "b": [range(10)], "c": [range(40)]})
    assert [each.series for each in choose(made, "test", {})] == [0, 2]
    assert [
        each.series for each in choose(made, "test", {"a": {"mae": None}, "c": {"mae": float("nan")}})
    ] == [0, 2]
