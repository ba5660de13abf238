"""Times become moments in UTC: ISO text with and without zones, counts, formats, and clocks that are "
"set back."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pyarrow import parquet

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2024-01-01 12:00:00", {}),
        ("2024-01-01T12:00", {}),
        ("2024-01-01 12:00:00.000000000", {}),
        ("2024-01-01T12:00:00Z", {}),
        ("2024-01-01 13:00:00+01:00", {}),
        ("2024-01-01 13:00:00 +0100", {}),
        ("2024-01-01 12:00:00 UTC", {}),
        ("2024-01-01 13:00:00", {"timezone": "Europe/Paris"}),
        ("1704110400", {"time_unit": "s", "time": "time"}),
        ("1704110400.0", {"time_unit": "s", "time": "time"}),
        ("1704110400000", {"time_unit": "ms", "time": "time"}),
        ("1704110400000000", {"time_unit": "us", "time": "time"}),
        ("01/01/2024 12h00", {"time_format": "%d/%m/%Y %Hh%M", "time": "time"}),
        ("01/01/2024 12:00:00.000", {"time_format": "%d/%m/%Y %H:%M:%S.%f", "time": "time"}),
        ("01/01/2024 13:00 +0100", {"time_format": "%d/%m/%Y %H:%M %z", "time": "time"}),
        ("20240101 13", {"time_format": "%Y%m%d %H", "time": "time", "timezone": "Europe/Paris"}),
    ],
)
def test_a_time_is_the_same_moment_however_it_is_written(text, said, read, file):
    rows = read(file(f"time,x\n{text},1\n"), **said).rows
    assert rows.schema.field("time").type == pa.timestamp("us", "UTC")
    assert not rows.schema.field("time").nullable
    assert rows["time"].to_pylist() == [NOON]


def test_a_date_is_its_midnight(read, file):
    assert read(file("day,x\n2024-01-01,1\n")).rows["day"].to_pylist() == [NOON.replace(hour=0)]


def test_ordinals_stay_whole_numbers(read, file):
    rows = read(file("t,x\n1,1\n2,1\n"), time="t", time_unit="ordinal").rows
    assert (rows.schema.field("t").type, rows["t"].to_pylist()) == (pa.int64(), [1, 2])


@pytest.mark.parametrize(
    ("type_", "timezone", "hour"),
    [
        (pa.timestamp("ns"), None, 12),
        (pa.timestamp("ms"), "Europe/Paris", 11),
        (pa.timestamp("us", "America/New_York"), None, 12),
    ],
)
def test_timestamps_of_parquet_are_read_as_those_of_text(type_, timezone, hour, read, tmp_path):
    naive = pa.array([datetime(2024, 1, 1, 12)]).cast(pa.timestamp(type_.unit))
    times = naive if type_.tz is None else naive.cast(pa.int64()).cast(type_)
    parquet.write_table(pa.table({"time": times, "x": [1]}), tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet", timezone=timezone).rows["time"].to_pylist() == [
        NOON.replace(hour=hour)
    ]


def test_times_without_a_zone_are_told_to_be_taken_as_utc(read, file):
    assert "taken as UTC" in read(file("time,x\n2024-01-01,1\n")).notes


def test_mixed_offsets_are_told(read, file):
    found = read(file("time,x\n2024-03-31T01:00:00+01:00,1\n2024-03-31T03:00:00+02:00,1\n"))
    assert [it.hour for it in found.rows["time"].to_pylist()] == [0, 1]
    assert "+01:00 (1 rows), +02:00 (1 rows): they are taken as moments in UTC" in found.notes


def test_times_in_utc_among_times_with_an_offset_are_told_with_their_numbers(read, file):
    hours = range(12)
    lines = [f"2024-03-01T{hour:02d}:30:00{'+02:00' if hour % 2 else 'Z'},{hour}" for hour in hours]
    found = read(file("\n".join(["time,x", *lines, ""])))
    assert sorted(it.hour for it in found.rows["time"].to_pylist()) == sorted(
        (hour - 2) % 24 if hour % 2 else hour for hour in hours
    )
    assert "+02:00 (6 rows), Z (6 rows)" in found.notes


def test_an_hour_that_a_clock_shows_twice_is_two_hours_of_each_series(read, file):
    lines = [
        f"{name},2024-10-27 {clock},1"
        for name in "ab"
        for clock in ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00")
    ]
    found = read(file("id,time,x\n" + "\n".join(lines) + "\n"), entity="id", timezone="Europe/Paris")
    hours = [f"{it:%H:%M}" for it in found.rows["time"].to_pylist()]
    assert hours == 2 * ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"]
    assert "8 rows of" in found.notes
    assert "showed twice" in found.notes


def test_the_only_column_of_times_is_the_time(read, file):
    assert read(file("name,when,x\na,2024-01-01,1\n")).found.decided.time == "when"
