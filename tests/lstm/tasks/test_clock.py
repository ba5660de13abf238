"""What a season is called before people."""

import pytest

from lstm.tasks.clock import Clock

MINUTE_US = 60_000_000
DAY_US = 24 * 60 * MINUTE_US


@pytest.mark.parametrize(
    ("interval", "season", "words"),
    [
        (60 * MINUTE_US, 168, "same hour last week"),
        (60 * MINUTE_US, 24, "same hour the day before"),
        (10 * MINUTE_US, 144, "same time the day before"),
        (15 * MINUTE_US, 672, "same time last week"),
        (DAY_US, 7, "same day last week"),
        (DAY_US, 1, "same time the day before"),
        (DAY_US, 365, "same day last year"),
        (60 * MINUTE_US, 8784, "same hour last year"),
        (10 * MINUTE_US, 24, "same row one season (24 rows) before"),
        (60 * MINUTE_US, 1, "the row before"),
    ],
)
def test_a_season_is_called_by_its_span_on_the_clock(interval, season, words):
    assert Clock(interval=interval).seasonal(season) == words


def test_ordinals_have_seasons_of_rows():
    assert Clock(interval=3_600_000_000, ordinal=True).seasonal(24) == "same row one season (24 rows) before"
    assert Clock(interval=1, ordinal=True).seasonal(1) == "the row before"
