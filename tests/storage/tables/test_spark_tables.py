"""Tables that Apache Spark wrote, at their current and older versions, against the rows that Spark read back.

They use deletion vectors, column mapping, V2 checkpoints, widened types, position deletes, ORC and more:
`manifest.json` of the fixtures says what each one has.
"""

from typing import Any

import pyarrow as pa
import pytest

from storage.tables.errors import NoSuchSnapshot, UnsupportedTable
from storage.tables.open import Lake
from storage.tables.protocol import Snapshot

from .rows import read_all
from .spark import NAMES, Fixtures, spark_tables


@pytest.fixture(scope="module")
def fixtures(embedded: Lake, tmp_path_factory: pytest.TempPathFactory) -> Fixtures:
    return spark_tables(embedded, tmp_path_factory.mktemp("spark"))


def _rows_by_key(rows: pa.Table, version: dict[str, Any]) -> pa.Table:
    simple = [it.name for it in rows.schema if not pa.types.is_nested(it.type)]
    first = [version["entity"], version["time"]]
    return rows.sort_by([(name, "ascending") for name in (*first, *(it for it in simple if it not in first))])


def _check(snapshot: Snapshot, version: dict[str, Any], truth: pa.Table) -> None:
    rows = read_all(snapshot)
    assert sum(it.rows for it in snapshot.files) == rows.num_rows == version["rows"]
    assert snapshot.schema.names == [name for name, _ in version["schema"]]
    assert rows.schema.types == truth.schema.types
    assert _rows_by_key(rows, version).equals(_rows_by_key(truth, version).cast(rows.schema))


@pytest.mark.parametrize("name", NAMES)
def test_the_current_version_has_sparks_rows(fixtures, name):
    current = fixtures.tables[name]["current"]
    _check(fixtures.open(name).snapshot(), current, fixtures.truth(current))


@pytest.mark.parametrize("name", NAMES)
def test_older_versions_have_sparks_rows(fixtures, name):
    table = fixtures.open(name)
    assert fixtures.tables[name]["older"]
    for version in fixtures.tables[name]["older"]:
        snapshot = table.snapshot(str(version.get("version", version.get("snapshot_id"))))
        _check(snapshot, version, fixtures.truth(version))


@pytest.mark.parametrize("name", NAMES)
def test_history_goes_up_to_the_current_version(fixtures, name):
    entry, table = fixtures.tables[name], fixtures.open(name)
    newest = str(entry.get("version", entry.get("snapshot_id")))
    assert table.snapshots()[-1].id == newest
    assert table.snapshot(at=table.snapshots()[-1].created).id == newest


@pytest.mark.parametrize("name", NAMES)
def test_statistics_bound_sparks_rows(fixtures, name):
    snapshot = fixtures.open(name).snapshot()
    for file in snapshot.files:
        names = list(file.statistics)
        groups = [snapshot.read(file, group, names) for group in range(len(snapshot.row_groups(file)))]
        rows = pa.concat_tables(groups)
        for column, known in file.statistics.items():
            values = [it for it in rows.column(column).to_pylist() if it is not None]
            if values and known.min is not None:
                assert known.min <= min(values), column
            if values and known.max is not None:
                assert known.max >= max(values), column


@pytest.mark.parametrize("name", NAMES)
def test_single_columns_are_the_same_as_whole_rows(fixtures, name):
    snapshot = fixtures.open(name).snapshot()
    names = snapshot.schema.names
    file = snapshot.files[-1]
    whole = snapshot.read(file, 0, names)
    for columns in (names[::-1], names[:1], [names[-1], names[0]]):
        assert snapshot.read(file, 0, columns).equals(whole.select(columns))
        part = snapshot.read(file, 0, columns, (1, max(1, whole.num_rows - 1)))
        assert part.equals(whole.select(columns)[1 : max(1, whole.num_rows - 1)])


def test_versions_of_a_cleaned_log_are_refused_with_the_range(fixtures):
    with pytest.raises(NoSuchSnapshot, match="versions 10 to 12"):
        fixtures.open("zorder_checkpoint").snapshot("9")


def test_an_expired_snapshot_is_refused_with_the_range(fixtures):
    table = fixtures.open("sorted_branch_tag")
    oldest = table.snapshots()[0]
    with pytest.raises(NoSuchSnapshot, match=oldest.id):
        table.snapshot("1")


def test_a_renamed_column_keeps_its_identity(fixtures):
    table = fixtures.open("mapping_upgraded")
    before, after = table.snapshot("2"), table.snapshot()
    assert "flow" in before.schema.names
    assert "flow_lps" in after.schema.names
    shared = {it.identity for it in before.files} & {it.identity for it in after.files}
    assert shared


@pytest.mark.parametrize("name", ["frames_by_day", "mapping_name", "days_appends", "v3_defaults"])
def test_tables_that_ask_more_of_writers_are_not_written(fixtures, name):
    table = fixtures.open(name)
    rows = read_all(table.snapshot()).slice(0, 1)
    with pytest.raises(UnsupportedTable, match=r"not written here|read-only here"):
        table.append(rows, transaction="a")
