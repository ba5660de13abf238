"""Iceberg tables in a local folder: written there, moved, or copied from a bucket."""

import shutil
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from lstm.windows import open_windows
from storage import uri as uris
from storage.errors import UserError
from storage.objects import Bucket
from storage.tables import create_table, lake_for
from storage.tables.errors import SnapshotDamaged, TableMissing, UnsupportedTable
from storage.tables.iceberg_catalog import connect
from storage.tables.iceberg_names import identifier_of
from storage.tables.local import open_local

from .rows import sensors


@pytest.fixture
def folder(tmp_path):
    """Written by the Iceberg library itself, in two appends and a delete."""
    warehouse = tmp_path / "ware house"
    warehouse.mkdir()
    catalog = SqlCatalog("local", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{warehouse}")
    catalog.create_namespace("lake")
    table = catalog.create_table("lake.sensors", schema=sensors(1).schema)
    table.append(sensors(100))
    table.append(sensors(100))
    table.delete("n < 10")
    return Path(table.metadata.location.removeprefix("file://"))


def rows_of(table, snapshot=None):
    pinned = table.snapshot(snapshot)
    groups = [(file, group) for file in pinned.files for group in range(len(pinned.row_groups(file)))]
    return sorted(n for at in groups for n in pinned.read(*at, ["n"]).column("n").to_pylist())


def test_a_folder_is_read_as_the_library_wrote_it(folder):
    table = open_local(folder)
    assert table.format == "iceberg"
    assert rows_of(table) == sorted([*range(10, 100)] * 2)
    assert rows_of(table, table.snapshots()[0].id) == [*range(100)]


def test_one_metadata_file_opens_the_table_as_it_was_then(folder):
    files = sorted((folder / "metadata").glob("*.metadata.json"))
    assert rows_of(open_local(files[1])) == [*range(100)]


def test_a_folder_may_be_moved(folder, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    assert rows_of(open_local(moved)) == sorted([*range(10, 100)] * 2)


def test_a_copy_of_a_table_in_a_bucket_gives_its_windows(s3_server, bucket, tmp_path):
    lake, uri = lake_for(s3_server), f"s3://{bucket.name}/sensors"
    create_table(lake, uri, sensors(1).schema, format="iceberg").append(sensors(500), transaction="a")
    catalog = connect(lake.catalog, lake.access)
    name, root = uris.parse(catalog.load_table(identifier_of(uri, lake.catalog)).location())
    source = Bucket(name, lake.access)
    for info in source.list(root):
        place = tmp_path / info.key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source.get(info.key).data)
    options = {"time": "time", "entity": "entity", "context": 4, "horizon": 2}
    local, remote = open_windows(str(tmp_path / root), **options), open_windows(uri, lake=lake, **options)
    assert local.plan.windows("train") == remote.plan.windows("train") > 0
    with local.stream() as one, remote.stream() as other:
        pairs = zip(one, other, strict=True)
        assert all(a.values.tobytes() == b.values.tobytes() for a, b in pairs)


def test_nothing_is_written_to_a_folder(folder):
    before = sorted(folder.rglob("*"))
    with pytest.raises(UnsupportedTable, match="local folder, which is only read"):
        open_local(folder).append(sensors(1), transaction="a")
    assert sorted(folder.rglob("*")) == before


def test_what_the_metadata_name_must_lie_on_this_machine(folder):
    newest = max((folder / "metadata").glob("*.metadata.json"))
    for elsewhere in ("s3://lake/x", f"{folder}/../../x"):
        other = newest.read_text().replace(f"file://{folder}/metadata/snap", f"{elsewhere}/snap")
        if elsewhere.startswith("/"):
            other = other.replace(f'"location":"file://{folder}"', f'"location":"{folder}"')
        newest.write_text(other)
        with pytest.raises(UserError, match="does not lie in"):
            open_local(folder).snapshot()


def test_a_file_that_is_gone_is_named(folder):
    table = open_local(folder)
    pinned = table.snapshot()
    Path(pinned.files[0].path).unlink()
    with pytest.raises(SnapshotDamaged, match=rf"{pinned.files[0].path}.*is gone"):
        pinned.row_groups(pinned.files[0])


def test_a_folder_without_metadata_is_no_table(tmp_path):
    (tmp_path / "metadata").mkdir()
    with pytest.raises(TableMissing, match="no Iceberg table"):
        open_local(tmp_path)
