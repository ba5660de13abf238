"""Windows of the tables that Apache Spark wrote, against windows made from the rows that Spark read back.

Deletion vectors, position deletes, renamed and widened columns, ORC and more lie below the same windows.
Each of the tables has an entity and a time, and none is sorted by them: row groups are put in order as they
are read, and in all but one the rows of an entity alternate between row groups.
"""

import pyarrow as pa
import pytest

from lstm.windows import WindowSpec
from storage.tables import lake_for

from ...storage.tables.spark import NAMES, Fixtures, spark_tables
from .whole import check_windows

WINDOW = WindowSpec(context=4, horizon=2, stride=3)


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
    check_windows(snapshot, fixtures.truth(version), columns, window=WINDOW)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
