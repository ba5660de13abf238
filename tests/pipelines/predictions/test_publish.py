"""Forecasts are there once by commit, series and time: from any snapshot, and with two scorers at once."""

from collections import Counter

import pyarrow as pa
import pytest

from pipelines.predictions.publish import ForecastsDeleted, publish
from pipelines.predictions.rows import prediction_schema
from storage.tables import create_table, lake_for

SCHEMA = prediction_schema((0.5,))


def forecasts(commit: str, snapshot: str, **first: int) -> pa.Table:
    """Two hours ahead for each series, from its `first` hour on."""
    rows = [
        {"series": name, "time": (hour + ahead) * 3_600_000_000, "q50": 0.0}
        for name, hour in first.items()
        for ahead in range(2)
    ]
    origin = {"snapshot_id": snapshot, "commit_id": commit, "run": "run"}
    return pa.Table.from_pylist([{**row, **origin} for row in rows], SCHEMA)


@pytest.fixture(params=["delta", "iceberg"])
def table(request, s3_server, bucket):
    return create_table(lake_for(s3_server), f"s3://{bucket.name}/p", SCHEMA, format=request.param)


def keys(table) -> Counter:
    snapshot, names = table.snapshot(), ["commit_id", "series", "time"]
    found = Counter()
    for file in snapshot.files:
        for group in range(len(snapshot.row_groups(file))):
            rows = snapshot.read(file, group, names)
            rows = rows.set_column(2, "time", rows["time"].cast(pa.int64()))
            found.update(
                (c, s, t // 3_600_000_000) for c, s, t in zip(*rows.to_pydict().values(), strict=True)
            )
    return found


def test_a_snapshot_in_which_one_series_grew_adds_only_its_new_hour(table):
    assert publish(table, forecasts("c", "1", a=5, b=5), commit="c") == 4
    assert publish(table, forecasts("c", "2", a=5, b=6), commit="c") == 1
    assert publish(table, forecasts("c", "2", a=5, b=6), commit="c") == 0
    assert keys(table) == Counter([("c", "a", 5), ("c", "a", 6), *(("c", "b", hour) for hour in (5, 6, 7))])


def test_another_commit_has_rows_of_its_own(table):
    assert publish(table, forecasts("c", "1", a=5), commit="c") == 2
    assert publish(table, forecasts("d", "1", a=5), commit="d") == 2
    assert set(keys(table).values()) == {1}


class Overtaken:
    """A table in which another scorer adds its rows right before the first append."""

    def __init__(self, table, rows):
        self._table, self._rows = table, rows
        self.uri, self.snapshot = table.uri, table.snapshot

    def append(self, rows, *, transaction):
        if self._rows is not None:
            theirs, self._rows = self._rows, None
            assert publish(self._table, theirs, commit="c") == theirs.num_rows
        return self._table.append(rows, transaction=transaction)


@pytest.mark.parametrize("begun", [False, True])
def test_two_scorers_of_different_snapshots_at_once_add_no_row_twice(table, begun):
    if begun:
        publish(table, forecasts("c", "0", a=1, b=1), commit="c")
    overtaken = Overtaken(table, forecasts("c", "1", a=5, b=5))
    assert publish(overtaken, forecasts("c", "2", a=5, b=6), commit="c") == 1
    assert keys(table)["c", "b", 7] == 1
    assert set(keys(table).values()) == {1}


def test_rows_that_were_deleted_are_not_added_again_and_it_says_so(table):
    class Deleted(Overtaken):
        def __init__(self, table):
            super().__init__(table, None)
            empty = table.snapshot()
            self.snapshot = lambda: empty

    before = Deleted(table)
    publish(table, forecasts("c", "1", a=5), commit="c")
    with pytest.raises(ForecastsDeleted, match="down to 0 rows"):
        publish(before, forecasts("c", "1", a=5), commit="c")
