"""A curriculum by horizon is a function of a number, and nothing else."""

import pytest

from lstm.training.config import TrainingConfig
from lstm.windows import Curriculum, WindowSpec


@pytest.mark.parametrize(
    ("number", "rows"), [(0, 6), (1, 6), (299, 6), (300, 12), (301, 12), (600, 24), (10**9, 24)]
)
def test_a_stage_lasts_until_the_next_one(number, rows):
    assert Curriculum([(0, 6), (300, 12), (600, 24)]).horizon_at(number) == rows


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "begins at 0"),
        ([(1, 6)], "begins at 0"),
        ([(0, 6), (0, 12)], "must follow each other"),
        ([(0, 6), (9, 12), (5, 24)], "must follow each other"),
        ([(0, 0)], "needs >= 1 row"),
    ],
)
def test_stages_that_make_no_sense_are_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        Curriculum(stages)


def test_a_stage_longer_than_the_horizon_is_refused():
    Curriculum([(0, 24)]).check(WindowSpec(context=48, horizon=24))
    with pytest.raises(ValueError, match="curriculum of 25 rows needs windows whose horizon is as long"):
        Curriculum([(0, 1), (5, 25)]).check(WindowSpec(context=48, horizon=24))


def test_a_config_takes_it_as_lists_and_refuses_it_early():
    assert TrainingConfig(curriculum=[[0, 6], [9, 12]]).curriculum == ((0, 6), (9, 12))
    with pytest.raises(ValueError, match="begins at 0"):
        TrainingConfig(curriculum=[[3, 6]])
