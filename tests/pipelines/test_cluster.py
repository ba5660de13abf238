"""`carousel tables cluster`: rows in any order become a table that windows can be read from."""

import json

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import index_snapshot
from lstm.windows.index.overlaps import check_overlaps
from pipelines.config.storage import StorageConfig
from pipelines.surroundings.connect import connect
from storage.tables import ENTITY_PROPERTY, TIME_PROPERTY, create_table
from storage.tables.errors import TableMissing

from .conftest import waves
from .test_ingest import rows_of, table_at

KEYS = [("series", "ascending"), ("time", "ascending")]


def scattered(root, uri, kind="delta", properties=None):
    """Rows in any order, over three row groups; the table's own first snapshot holds all of them."""
    rows = waves()
    rows = rows.take(np.random.default_rng(3).permutation(rows.num_rows))
    lake = connect(StorageConfig(), root).lake
    table = create_table(lake, uri, rows.schema, format=kind, row_group_rows=200, properties=properties or {})
    table.append(rows, transaction="all")
    index = index_snapshot(table.snapshot(), entity="series", time="time")
    assert len(index.pieces) > rows.num_rows / 2  # rows alternate between row groups
    return rows


@pytest.mark.parametrize(("kind", "into"), [("delta", "iceberg"), ("iceberg", "delta")])
def test_a_scattered_table_becomes_a_sorted_one_once(kind, into, carousel, root):
    source, target = f"s3://lake/scattered-{kind}", f"s3://lake/sorted-{into}"
    rows = scattered(root, source, kind, {TIME_PROPERTY: "time", ENTITY_PROPERTY: "series"})
    done = carousel("tables", "cluster", source, target, "--format", into, "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert (answer["added"], answer["known"], answer["format"]) == (rows.num_rows, 0, into)
    pinned = table_at(root, target).snapshot()
    assert rows_of(pinned).equals(rows.sort_by(KEYS).cast(pinned.schema))
    index = index_snapshot(pinned, entity="series", time="time")
    check_overlaps(index)
    assert not index.keys.sorts
    again = carousel("tables", "cluster", source, target)
    assert f"0 rows added, {rows.num_rows} known already" in again.out
    assert f"train --table {target}" in again.out
    assert list(root.glob("ingest-*")) == []


def test_an_older_snapshot_and_ordinals_are_clustered_too(carousel, root):
    rows = pa.table({"name": list("baba"), "step": [1, 1, 0, 0], "x": [1.0, 2.0, 3.0, 4.0]})
    table = create_table(connect(StorageConfig(), root).lake, "s3://lake/steps", rows.schema, format="delta")
    first = table.append(rows, transaction="1").snapshot_id
    table.append(rows.set_column(1, "step", pa.array([2, 2, 3, 3])), transaction="2")
    options = ["--time", "step", "--entity", "name", "--snapshot", first]
    done = carousel("tables", "cluster", "s3://lake/steps", "s3://lake/steps-sorted", *options)
    assert done.code == 0, done.err
    found = rows_of(table_at(root, "s3://lake/steps-sorted").snapshot())
    assert found.to_pydict() == {"name": list("aabb"), "step": [0, 1, 0, 1], "x": [4.0, 2.0, 3.0, 1.0]}


def test_a_newer_snapshot_needs_a_new_target(carousel, root):
    source, target = "s3://lake/growing", "s3://lake/growing-sorted"
    rows = pa.table({"name": list("baba"), "step": [1, 1, 0, 0], "x": [1.0, 2.0, 3.0, 4.0]})
    table = create_table(connect(StorageConfig(), root).lake, source, rows.schema, format="delta")
    table.append(rows, transaction="1")
    options = ["--time", "step", "--entity", "name"]
    done = carousel("tables", "cluster", source, target, *options)
    assert done.code == 0, done.err
    assert "ingest-" not in done.out + done.err  # the folder that is gone by then
    newest = table.append(rows.set_column(1, "step", pa.array([2, 2, 3, 3])), transaction="2").snapshot_id
    refused = carousel("tables", "cluster", source, target, *options)
    told = " ".join(refused.err.split())
    assert refused.code == 2
    assert f"rows of {source} (snapshot {newest}) are in {target} already, as of another snapshot" in told
    assert "Name another target" in told
    assert "ingest-" not in told
    assert rows_of(table_at(root, target).snapshot()).num_rows == 4
    other = carousel("tables", "cluster", source, f"{target}-2", *options)
    assert other.code == 0, other.err
    assert rows_of(table_at(root, f"{target}-2").snapshot()).num_rows == 8


@pytest.mark.parametrize(
    ("fault", "rows", "told"),
    [
        ("entity", {"name": ["b", None], "step": [1, 0]}, "row 2 has no value in 'name'"),
        ("time", {"name": ["b", "a"], "step": [1, None]}, "row 2 has no time"),
        ("twice", {"name": ["b", "b"], "step": [1, 1]}, "the same time"),
    ],
)
def test_rows_that_cannot_be_clustered_are_told_by_their_tables_name(fault, rows, told, carousel, root):
    source = f"s3://lake/faulty-{fault}"
    table = pa.table({**rows, "x": [1.0, 2.0]})
    lake = connect(StorageConfig(), root).lake
    create_table(lake, source, table.schema, format="delta").append(table, transaction="1")
    options = ["--time", "step", "--entity", "name"]
    refused = carousel("tables", "cluster", source, f"{source}-sorted", *options)
    assert refused.code == 2
    said = " ".join(refused.err.split())
    assert told in said
    assert f"{source} (snapshot 1)" in said
    assert "ingest-" not in said


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("itself", [], "cannot be clustered into itself"),
        ("unknown-column", ["--time", "when"], "no column 'when'"),
        ("unknown-snapshot", ["--snapshot", "77"], "77"),
    ],
)
def test_what_cannot_be_clustered_is_told_before_anything_is_written(name, options, told, carousel, root):
    source = f"s3://lake/{name}"
    scattered(root, source)
    target = f"{source}/" if name == "itself" else f"{source}-sorted"
    done = carousel("tables", "cluster", source, target, *options)
    assert done.code == 2
    assert told in done.err
    if name == "itself":
        assert table_at(root, source).snapshot().id == "1"
    else:
        with pytest.raises(TableMissing):
            table_at(root, target)
