"""Wide files: a line per series becomes a row per value; all series end at the same moment."""

from datetime import UTC, datetime

import pytest

from pipelines.sources import wide

TEXT = '"V1","V2","V3","V4","V5"\n"H1",1,2.5,,\n"H2",4,,6,7\n'


def test_a_line_becomes_the_rows_of_a_series_that_end_together(read, file):
    rows = read(file(TEXT), wide=True, every="1h").rows
    assert [(it["series"], it["time"].isoformat()[5:16], it["value"]) for it in rows.to_pylist()] == [
        ("H1", "12-31T23:00", 1.0),
        ("H1", "01-01T00:00", 2.5),
        ("H2", "12-31T21:00", 4.0),
        ("H2", "12-31T22:00", None),
        ("H2", "12-31T23:00", 6.0),
        ("H2", "01-01T00:00", 7.0),
    ]


@pytest.mark.parametrize("cells", [1, 6, 1 << 20])
def test_few_lines_at_once_give_the_same_rows(cells, read, file, monkeypatch):
    whole = read(file(TEXT), wide=True, every="10min").rows
    monkeypatch.setattr(wide, "_CELLS", cells)
    assert read(file(TEXT), wide=True, every="10min").rows.equals(whole)


def test_the_end_can_be_told(read, file):
    rows = read(file(TEXT), wide=True, every="1d", end="2015-01-01T12:00").rows
    assert max(rows["time"].to_pylist()) == datetime(2015, 1, 1, 12, tzinfo=UTC)


def test_the_made_up_times_are_told(read, file):
    assert "all end at 2000-01-01" in read(file(TEXT), wide=True, every="1h").notes


def test_columns_can_be_called_otherwise(read, file):
    names = read(file(TEXT), wide=True, every="1h", entity="id", time="hour").rows.column_names
    assert names == ["id", "hour", "value"]
