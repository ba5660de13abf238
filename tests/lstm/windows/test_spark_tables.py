"""Windows of the tables that Apache Spark wrote, against windows made from the rows that Spark read back.

Deletion vectors, position deletes, renamed and widened columns, ORC and more lie below the same windows.
Each of the tables has an entity and a time, and none is sorted by them: row groups are put in order as they
are read, and all but one have rows of an entity in several row groups that alternate. Such a table
is refused as a whole; it is read where a gap cuts the series wherever it alternates.
"""

from datetime import timedelta

import pyarrow as pa
import pytest

from lstm.windows import OrderSpec, WindowSpec, index_snapshot, make_plan
from lstm.windows.errors import UnsortedTable
from storage.tables import lake_for

from ...storage.tables.spark import NAMES, Fixtures, spark_tables
from .whole import SPLIT, check_windows

WINDOW = WindowSpec(context=4, horizon=2, stride=3)
WHOLE = "liquid_v2checkpoint"
"""The one table whose series are read without a gap."""
TICKS_S = {"days_appends": 240, "frames_by_day": 120, "partition_evolution": 1800}
"""Seconds between the rows of a series; in all other tables one."""


@pytest.fixture(scope="module")
def fixtures(s3_server, tmp_path_factory) -> Fixtures:
    return spark_tables(lake_for(s3_server), tmp_path_factory.mktemp("spark"))


@pytest.mark.parametrize("name", NAMES)
def test_windows_are_those_of_sparks_rows(fixtures, name):
    version = fixtures.tables[name]["current"]
    assert (version["entity"], version["time"]) == ("entity", "time")
    snapshot = fixtures.open(name).snapshot()
    columns = [it.name for it in snapshot.schema if _is_number(it.type)]
    assert len(columns) >= 2
    gap = None if name == WHOLE else timedelta(seconds=TICKS_S.get(name, 1))
    check_windows(snapshot, fixtures.truth(version), columns, window=WINDOW, max_gap=gap)


@pytest.mark.parametrize("name", [it for it in NAMES if it != WHOLE])
def test_series_that_alternate_between_row_groups_are_refused_without_a_gap(fixtures, name):
    index = index_snapshot(fixtures.open(name).snapshot(), entity="entity", time="time")
    with pytest.raises(UnsortedTable, match=r"alternate between row group .* tables cluster"):
        make_plan(index, WINDOW, SPLIT, OrderSpec(lanes=6, pool=2))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
