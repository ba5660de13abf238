"""Local time, against the standard library's."""

import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from lstm.windows.features.calendar import HARMONICS, Calendar, NoCalendar


def micros(*moments: datetime) -> np.ndarray:
    return np.array([round(moment.timestamp() * 1e6) for moment in moments], np.int64)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"])
def test_hour_of_week_is_the_wall_clocks_all_year_round(zone):
    hours = [datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=h) for h in range(8760)]
    local = [hour.astimezone(ZoneInfo(zone)) for hour in hours]
    expected = [moment.weekday() * 24 + moment.hour for moment in local]
    assert Calendar(zone).hour_of_week(micros(*hours)).tolist() == expected


def test_offsets_are_found_in_any_order():
    calendar = Calendar("America/New_York")
    july, january = datetime(2013, 7, 1, 16, tzinfo=UTC), datetime(2013, 1, 1, 17, tzinfo=UTC)
    for moment, later in ((july, 12), (january, 12), (datetime(1969, 12, 31, 17, tzinfo=UTC), 12)):
        assert calendar.hour_of_week(micros(moment))[0] % 24 == later
    assert calendar.hour_of_week(micros(january, july)).tolist() == [24 + 12, 12]  # a Tuesday, a Monday


def test_offsets_stay_right_where_another_thread_looks_some_up_meanwhile(monkeypatch):
    """Batches are finished by two threads at once, and streams of a table share its calendar."""
    calendar, look_up = Calendar("America/New_York"), Calendar._offset
    hours = micros(*(datetime(2013, month, 1, tzinfo=UTC) for month in range(1, 13)))
    expected = Calendar("America/New_York").local(hours)
    assert calendar.local(hours[5:6]) == expected[5]
    other = threading.Thread(target=calendar.local, args=[hours[2:4]])

    def beside_another(self, hour):
        if threading.current_thread() is threading.main_thread() and other.ident is None:
            other.start()
            other.join()
        return look_up(self, hour)

    monkeypatch.setattr(Calendar, "_offset", beside_another)
    assert calendar.local(hours[1:5]).tolist() == expected[1:5].tolist()
    assert other.ident is not None
    assert calendar.local(hours).tolist() == expected.tolist()


def test_encoding_is_sines_and_cosines_of_day_and_week():
    tuesday_six = datetime(2013, 1, 1, 6, tzinfo=UTC)
    encoded = Calendar("UTC").encode(micros(tuesday_six))[0]
    assert encoded.shape == (Calendar.features,) == (4 * HARMONICS,)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded[:4], [1, 0, 0, -1], atol=1e-6)  # a quarter of a day, then a half
    week = 2 * np.pi * 30 / 168
    np.testing.assert_allclose(encoded[2 * HARMONICS :][:2], [np.sin(week), np.cos(week)], atol=1e-6)


def test_encoding_keeps_the_shape_also_of_nothing():
    calendar = Calendar("America/New_York")
    assert calendar.encode(np.zeros((0, 5), np.int64)).shape == (0, 5, Calendar.features)
    assert calendar.encode(np.zeros((2, 5), np.int64)).shape == (2, 5, Calendar.features)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "America"])
def test_an_unknown_zone_is_refused_by_name(name):
    with pytest.raises(ValueError, match="no time zone"):
        Calendar(name)


def test_rows_millennia_apart_are_looked_up_one_by_one():
    """A wrong year in one row must not cost a table of all the hours between."""
    summer, far = datetime(2013, 7, 1, 16, tzinfo=UTC), datetime(9000, 1, 1, 17, tzinfo=UTC)
    calendar = Calendar("America/New_York")
    both = micros(summer, far)
    assert (calendar.hour_of_week(both) % 24).tolist() == [12, 12]
    assert len(calendar._offsets.by_hour) == 0
    assert calendar.hour_of_week(both[:1]).tolist() == [12]  # a Monday


def test_ordinals_have_no_calendar():
    times = np.array([[0, 1], [2**62, -5]])
    assert not NoCalendar().encode(times).any()
    assert NoCalendar().encode(times).shape == (2, 2, Calendar.features)
    assert not NoCalendar().hour_of_week(times).any()


@pytest.mark.parametrize("minutes", [10, 15, 1440])
def test_every_row_of_a_day_has_its_own_encoding(minutes):
    times = np.arange(0, 7 * 1440, minutes) * 60_000_000
    assert len(np.unique(Calendar("UTC").encode(times).round(6), axis=0)) == len(times)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland"])
@pytest.mark.parametrize("first", [2012, 2013])  # the one is a leap year
def test_the_year_is_the_wall_clocks_from_its_first_hour_to_its_last(zone, first):
    begin = datetime(first, 1, 1, tzinfo=ZoneInfo(zone))
    hours = [begin.astimezone(UTC) + timedelta(hours=h) for h in range(8760)]
    encoded = Calendar(zone, year=True).encode(micros(*hours))
    assert encoded.shape == (8760, 6 * HARMONICS)
    assert (encoded[:, : 4 * HARMONICS] == Calendar(zone).encode(micros(*hours))).all()
    days = 366 if first == 2012 else 365
    local = [moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for moment in hours]
    share = np.array([(moment - datetime(first, 1, 1)) / timedelta(days=days) for moment in local])
    waves = [wave(k * 2 * np.pi * share) for k in range(1, HARMONICS + 1) for wave in (np.sin, np.cos)]
    np.testing.assert_allclose(encoded[:, 4 * HARMONICS :], np.stack(waves, axis=-1), atol=HARMONICS * 8e-4)
    assert encoded[0, 4 * HARMONICS :].tolist() == [0, 1] * HARMONICS


def test_a_calendar_with_the_year_keeps_the_shape_also_of_nothing():
    calendar = Calendar("UTC", year=True)
    for shape in ((0, 5), (2, 5)):
        assert calendar.encode(np.zeros(shape, np.int64)).shape == (*shape, calendar.features)
    assert Calendar("UTC").features == Calendar.features


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("year", [False, True])
def test_times_beyond_the_years_of_the_standard_library_have_a_place(zone, year):
    ends = micros(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC))
    for times in (ends[:1], ends[1:], np.array([-(2**62), 2**62])):
        encoded = Calendar(zone, year=year).encode(times)
        assert np.isfinite(encoded).all()
        assert (np.abs(encoded) <= 1).all()
