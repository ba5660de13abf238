"""Seconds between reports are told apart, and none is told twice."""

import pytest

from lstm.training.stopwatch import Stopwatch


def test_the_parts_of_a_lap_are_its_seconds():
    clock = iter([0.0, 3.0, 5.0, 6.0, 7.0, 10.0, 12.0])
    watch = Stopwatch(lambda: next(clock))
    with watch.validating():  # 3 to 5
        pass
    with watch.saving():  # 6 to 7
        pass
    lap = watch.lap(waited_s=1.5)  # at 10
    assert lap.to_json() == {"computing_s": 5.5, "waiting_s": 1.5, "validating_s": 2.0, "saving_s": 1.0}
    assert sum(lap.to_json().values()) == lap.seconds == 10.0
    following = watch.lap(waited_s=2.0)
    assert following.to_json() == {
        "computing_s": pytest.approx(1.5),
        "waiting_s": 0.5,
        "validating_s": 0,
        "saving_s": 0,
    }
