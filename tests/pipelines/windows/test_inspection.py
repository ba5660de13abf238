"""What is told of a plan is what the plan holds, and the picture draws it to scale."""

from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree as Xml

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import SPLITS, OrderSpec, SplitSpec, WindowSpec, index_snapshot, make_plan
from pipelines.windows.inspection import inspect, picked
from pipelines.windows.picture import MOST, picture
from pipelines.windows.shown import lines
from pipelines.windows.ticks import ticks
from storage.tables.protocol import Traffic
from tests.lstm.windows.conftest import HOUR, in_groups
from tests.lstm.windows.memory_table import MemorySnapshot
from tests.lstm.windows.tables import naive_windows

HOURS, COLUMNS = 120, ("x",)


class Counted(MemorySnapshot):
    """Counts the bytes of what it gives, as a snapshot in a bucket does."""

    def read(self, file, row_group, columns, rows=None):
        read = super().read(file, row_group, columns, rows)
        self.traffic = Traffic(0, self.traffic.needed + read.nbytes)
        return read


def table(series):
    """Hourly rows; every third series lacks ten hours, every seventh a day."""
    rows = []
    for number in range(series):
        for hour in range(HOURS):
            if (number % 3 == 0 and 30 <= hour < 40) or (number % 7 == 0 and 60 <= hour < 84):
                continue
            rows.append((f"<s{number:03}&>", hour * HOUR, float(hour), 0.0))
    return rows


def planned(series=4, **said):
    rows = table(series)
    names, times, x, _ = zip(*rows, strict=True)
    times = pa.array(times, pa.timestamp("us", "UTC"))
    whole = pa.table({"name": names, "t": times, "x": x})
    groups = in_groups(whole, 50)
    snapshot = Counted(list(groups._groups.values()))
    plan = make_plan(
        index_snapshot(snapshot, entity="name", time="t", **{"max_gap": timedelta(hours=1), **said}),
        WindowSpec(context=8, horizon=4),
        SplitSpec(validation=0.2, test=0.2, embargo_rows=3),
        OrderSpec(lanes=4),
    )
    return rows, snapshot, plan


def test_counts_are_those_of_a_naive_reading():
    rows, snapshot, plan = planned()
    found = inspect(snapshot, plan, COLUMNS, ranks=2, memory_mib=64)
    assert (found.series, found.segments, found.gaps, found.rows) == (4, 7, 3, len(rows))
    for split in SPLITS:
        windows = naive_windows(rows, plan.window, HOUR, plan.splits[split])
        assert found.splits[split].windows == len(windows)
        per_series = [sum(series == number for series, _ in windows) for number in range(4)]
        assert [line.windows[split] for line in found.by_series] == per_series
        assert found.splits[split].series == sum(map(bool, per_series))
    assert [line.rows for line in found.by_series] == [86, 120, 120, 110]
    assert found.max_gap == found.interval == "1 h"
    assert found.reads.layout == "sorted"
    assert found.reads.bytes_per_row == 16  # x as float64, and the time
    assert found.reads.bytes_per_epoch > 0
    assert [line.ranks for line in found.memory] == [1, 2, 4]
    sizes = [line.bytes for line in found.memory]
    assert sizes == sorted(sizes, reverse=True)


def test_what_sorting_costs_is_measured_where_row_groups_need_it():
    _, in_order, plan = planned()
    assert inspect(in_order, plan, COLUMNS, ranks=2, memory_mib=64).reads.sorted_as_read is None
    whole = pa.concat_tables(group for groups in in_order._groups.values() for group in groups)
    by_time = whole.take(pa.compute.sort_indices(whole, [("t", "ascending"), ("name", "ascending")]))
    snapshot = Counted(list(in_groups(by_time, 50)._groups.values()))
    index = index_snapshot(snapshot, entity="name", time="t", max_gap=timedelta(hours=1))
    alternating = make_plan(index, plan.window, plan.split, plan.order)
    found = inspect(snapshot, alternating, COLUMNS, ranks=2, memory_mib=64)
    assert found.reads.sorted_as_read > 0
    assert found.reads.bytes_per_row > 16  # names are read too
    assert any("so each is sorted when it is read" in str(it) for it in rows_of(lines(found)))
    assert {it: found.splits[it].windows for it in SPLITS} == {it: plan.windows(it) for it in SPLITS}


def test_rows_that_a_grid_adds_are_counted_and_told():
    rows, snapshot, plan = planned(grid=timedelta(hours=1), max_gap=timedelta(hours=12))
    found = inspect(snapshot, plan, (*COLUMNS, "observed"), ranks=2, memory_mib=64)
    assert (found.series, found.segments, found.gaps) == (4, 5, 1)  # ten hours are filled in, a day is not
    assert (found.grid, found.filled, found.rows) == ("1 h", 20, len(rows) + 20)
    assert 14 < found.reads.bytes_per_row < 16  # rows that are added take no bytes
    told = (
        f"of 1 h: {len(rows)} rows stand in the table, and 20 (4.4%) that it lacks are added without values"
    )
    assert told in rows_of(lines(found))


def rows_of(shown):
    """What the tables' cells say."""
    for line in shown:
        for column in getattr(line, "columns", ()):
            yield from column.cells


def test_a_budget_that_holds_too_little_is_seen():
    _, snapshot, plan = planned()
    found = inspect(snapshot, plan, COLUMNS, ranks=1, memory_mib=0)
    assert not any(line.fits for line in found.memory)
    assert found.reads.amplification == found.reads.amplification_without_memory > 1


@pytest.mark.parametrize("series", [3, MOST, MOST + 5])
def test_the_picture_is_drawn_to_scale_and_names_are_harmless(series):
    _, snapshot, plan = planned(series)
    found = inspect(snapshot, plan, COLUMNS, ranks=1, memory_mib=64)
    drawn = Xml.fromstring(picture(plan, replace(found, table="s3://lake/<b>&amp;")))
    space = "{http://www.w3.org/2000/svg}"
    texts = [it.text for it in drawn.iter(f"{space}text")]
    assert "s3://lake/<b>&amp;" in texts
    assert "<s000&>" in texts
    assert (f"all {series} series" in texts) == (series > MOST)
    assert sum(text.startswith("<s") for text in texts) == min(series, MOST)
    # the second series lacks no hour: its bar is as wide as its splits and the embargo together
    second = [it for it in drawn.iter(f"{space}rect") if it.get("fill") == "#f2c9c5"][2]
    bars = [it for it in drawn.iter(f"{space}rect") if it.get("y") == second.get("y") and it is not second]
    own = {
        split: sum(float(it.get("width")) for it in bars if it.get("fill") == colour)
        for split, colour in (("train", "#3d6fb4"), ("validation", "#e39a35"), ("test", "#3f9a6d"))
    }
    pixels = float(second.get("width")) / HOURS
    hours = {split: width / pixels for split, width in own.items()}
    assert hours["train"] == pytest.approx(72 - 3, abs=0.1)
    assert hours["validation"] == pytest.approx(24 - 3, abs=0.1)
    assert hours["test"] == pytest.approx(24, abs=0.1)


def test_of_many_series_the_first_and_the_last_are_shown():
    assert picked(5, 6) == [0, 1, 2, 3, 4]
    assert picked(9, 5) == [0, 1, 6, 7, 8]


@pytest.mark.parametrize(
    ("first", "last", "labels"),
    [
        ("2024-01-15", "2024-12-20", ["2024-03", "2024-05", "2024-07", "2024-09", "2024-11"]),
        ("2024-01-01T01", "2024-01-01T09", [f"2024-01-01 0{h}:00" for h in (3, 6, 9)]),
        ("2000-05-01", "2024-05-01", ["2005", "2010", "2015", "2020"]),
    ],
)
def test_ticks_stand_at_round_times(first, last, labels):
    bounds = [int(np.datetime64(it, "us").astype(np.int64)) for it in (first, last)]
    assert [label for _, label in ticks(*bounds, ordinal=False)] == labels


def test_ticks_of_ordinals_are_round_numbers():
    assert [time for time, _ in ticks(-3, 96, ordinal=True)] == [0, 20, 40, 60, 80]
    assert ticks(5, 5, ordinal=True) == [(5, "5")]
