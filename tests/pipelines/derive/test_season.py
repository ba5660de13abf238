"""The season is the one whose repetition is the best forecast of training rows."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipelines.derive.words import DAY, HOUR, duration, near, share

from .tables import derived, hourly, moments, wave


@pytest.mark.parametrize(("weekly", "season"), [(0.0, 24), (2.0, 168)])
def test_the_season_that_repeats_best_is_taken(weekly, season):
    hour = np.arange(4000)
    load = wave(4000, 24) + weekly * (hour // 24 % 7 >= 5)
    choice, reasons = derived(pa.table({"when": moments(4000), "load": load}))
    assert (choice.forecast.season, choice.forecast.lag) == (season, 24)
    assert "day" in reasons.by_key["forecast.season"]
    assert "week" in reasons.by_key["forecast.season"]


def test_a_season_fits_into_the_context():
    choice, _ = derived(hourly(300, period=168))
    assert choice.forecast.season <= choice.window.context


def test_without_a_season_the_last_row_is_the_forecast_to_beat():
    noise = np.random.default_rng(0).standard_normal(300)
    choice, reasons = derived(pa.table({"step": np.arange(300), "y": noise}))
    assert choice.forecast.season == 1
    assert "last row" in reasons.by_key["forecast.season"]


def test_a_cycle_that_no_calendar_has_is_found_in_the_rows():
    seconds = moments(6000, timedelta(seconds=7))
    choice, reasons = derived(pa.table({"when": seconds, "load": wave(6000, 100)}))
    assert choice.forecast.season == 100
    assert "autocorrelation" in reasons.by_key["forecast.season"]


@pytest.mark.parametrize(
    ("microseconds", "words"),
    [
        (HOUR, "1 hour"),
        (600_000_000, "10 minutes"),
        (31 * DAY, "31 days"),
        (14 * DAY, "2 weeks"),
        (250, "250 microseconds"),
    ],
)
def test_durations_are_told_in_words(microseconds, words):
    assert duration(microseconds) == words


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [(0, 9, "0%"), (9, 9, "100%"), (1, 100_000, "<0.1%"), (99_999, 100_000, ">99.9%"), (1, 8, "12.5%")],
)
def test_a_share_is_none_or_all_only_if_it_is(part, whole, words):
    assert share(part, whole) == words


def test_near_names_are_suggested():
    assert near("Load", ["load", "temp"]) == "did you mean 'load'? "
    assert near("xyz", ["load", "temp"]) == ""
