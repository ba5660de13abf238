"""The contract for Iceberg on two catalogs, and what only Iceberg has: catalogs, expiry, schemas by id."""

import dataclasses
import re
import secrets
from collections.abc import Callable, Iterator

import polars
import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitStateUnknownException
from pyiceberg.manifest import DataFile, DataFileContent, ManifestEntry, ManifestEntryStatus
from pyiceberg.schema import Schema
from pyiceberg.table import Table as Loaded
from pyiceberg.types import DoubleType, NestedField, StringType, UUIDType

from storage import uri as uris
from storage.objects import AccessDenied, Bucket, Unreachable
from storage.tables import iceberg_commit, iceberg_plan
from storage.tables.errors import (
    NoSuchSnapshot,
    SnapshotDamaged,
    TableExists,
    TableMissing,
    UnsupportedTable,
)
from storage.tables.iceberg_catalog import DriverMissing, NoCatalog, connect
from storage.tables.iceberg_names import BadTableName, identifier_of
from storage.tables.open import CatalogSettings, Lake, create_table, list_tables, open_table
from storage.tables.protocol import Table

from .conftest import with_database
from .contract import TableContract
from .rows import SENSORS, count, read_all, sensors


class IcebergContract(TableContract):
    format_ = "iceberg"

    @pytest.fixture
    def at_commit(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
        commit = iceberg_commit.Staged.commit

        def patch(before: Callable[[], None]) -> None:
            def commit_after(staged) -> None:
                before()
                commit(staged)

            monkeypatch.setattr(iceberg_commit.Staged, "commit", commit_after)

        return patch

    @pytest.fixture
    def lost_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        commit = iceberg_commit.Staged.commit

        def commit_and_fail(staged) -> None:
            monkeypatch.setattr(iceberg_commit.Staged, "commit", commit)
            commit(staged)
            raise CommitStateUnknownException("504")

        monkeypatch.setattr(iceberg_commit.Staged, "commit", commit_and_fail)


class TestIcebergOnTheEmbeddedCatalog(IcebergContract):
    pass


class TestIcebergOnADatabase(IcebergContract):
    @pytest.fixture
    def lake(self, database: Lake) -> Lake:
        return database


class TestIcebergOnMinIO(IcebergContract):
    sampled = True

    @pytest.fixture
    def lake(self, on_minio: Lake) -> Lake:
        return on_minio


class TestIcebergOnExternal(IcebergContract):
    """The server that CAROUSEL_TEST_S3_ENDPOINT names."""

    @pytest.fixture
    def lake(self, on_external: Lake) -> Lake:
        return on_external

    @pytest.fixture
    def uri(self, external_uri: str) -> str:
        return external_uri


@pytest.fixture(scope="module")
def database(embedded: Lake, tables_bucket: Bucket, tmp_path_factory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("catalog")
    lake = with_database(embedded.access, f"s3://{tables_bucket.name}/warehouse", folder)
    yield lake
    assert lake.catalog is not None
    connect(lake.catalog, lake.access).close()


@pytest.fixture
def table(embedded, uri) -> Table:
    return create_table(embedded, uri, SENSORS, format="iceberg", row_group_rows=100)


def _loaded(lake: Lake, uri: str) -> Loaded:
    """As pyiceberg sees it."""
    assert lake.catalog is not None
    catalog = connect(lake.catalog, lake.access)
    return catalog.load_table(identifier_of(uri, lake.catalog))


def test_pyiceberg_and_polars_read_the_whole_table(table, embedded, uri, monkeypatch):
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
    for number in range(3):
        table.append(sensors(100, first=100 * number), transaction=str(number))
    loaded = _loaded(embedded, uri)
    access = embedded.access
    fresh = {
        "s3.endpoint": access.endpoint_url or "",
        "s3.access-key-id": access.access_key or "",
        "s3.secret-access-key": access.secret_key or "",
        "s3.region": access.region or "us-east-1",
    }
    scanned = polars.scan_iceberg(loaded.metadata_location, storage_options=fresh).collect().sort("n")
    assert scanned.to_arrow().cast(SENSORS).equals(sensors(300))
    assert loaded.scan(row_filter="n >= 250").to_arrow().num_rows == 50


# --- names and addresses


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("s3://lake/tables/flights", ("lake_tables", "flights")),
        ("s3://lake/flights", ("lake", "flights")),
        ("s3://Lake.x/a/b c/Ünits", ("lake_x_a_b_c", "t_nits")),
        ("s3://warehouse/sales/flights", ("sales", "flights")),
        ("s3://warehouse/deep/sales/flights", ("warehouse_deep_sales", "flights")),
        ("sales.flights", ("sales", "flights")),
    ],
)
def test_an_address_has_one_name_in_the_catalog(text, name):
    assert identifier_of(text, CatalogSettings(uri="http://127.0.0.1:1", warehouse="warehouse")) == name


@pytest.mark.parametrize("text", ["flights", "sales.", "s3://lake"])
def test_what_names_no_table_is_refused(text):
    with pytest.raises(BadTableName, match=r"namespace\.name|write s3://"):
        identifier_of(text, CatalogSettings(uri="http://127.0.0.1:1"))


def test_a_table_can_be_created_and_opened_by_its_catalogs_name(embedded):
    name = f"sales.t{secrets.token_hex(6)}"
    table = create_table(embedded, name, SENSORS, format="iceberg")
    table.append(sensors(10), transaction="a")
    assert count(open_table(embedded, name)) == 10
    assert name in {it.uri for it in list_tables(embedded, "tables", "no such prefix")}
    with pytest.raises(TableExists):
        create_table(embedded, name, SENSORS, format="iceberg", exist_ok=False)


def test_the_place_that_the_catalog_chose_is_the_same_table(table, embedded, uri):
    location = _loaded(embedded, uri).metadata.location
    open_table(embedded, location).append(sensors(10), transaction="a")
    assert count(table) == 10


def test_two_addresses_that_would_share_a_name_are_told_apart(embedded, uri):
    create_table(embedded, f"{uri}/a b", SENSORS, format="iceberg")
    with pytest.raises(TableExists, match="a b; choose another"):
        create_table(embedded, f"{uri}/a_b", SENSORS, format="iceberg")


def test_on_a_database_the_files_lie_at_the_address(database, uri):
    table = create_table(database, uri, SENSORS, format="iceberg")
    table.append(sensors(10), transaction="a")
    assert table.snapshot().files[0].path.startswith(f"{uri}/data/")


@pytest.mark.parametrize("kind", ["mysql+nodriver", "postgresql+pg8000", "nosuch"])
def test_a_database_without_its_driver_is_told_by_name(embedded, kind):
    settings = CatalogSettings(uri=f"{kind}://user:no-such-secret@127.0.0.1:1/db", warehouse="s3://tables/w")
    with pytest.raises(DriverMissing, match=re.escape(kind)) as caught:
        open_table(Lake(access=embedded.access, catalog=settings), "sales.flights")
    assert "no-such-secret" not in str(caught.value)


def test_without_a_catalog_a_name_is_refused(embedded):
    with pytest.raises(NoCatalog, match="none is configured"):
        open_table(Lake(access=embedded.access), "sales.flights")


def test_a_wrong_credential_and_a_dead_catalog_are_told_apart(embedded, uri):
    wrong = dataclasses.replace(embedded.catalog, credential="key:no such secret")
    with pytest.raises(AccessDenied, match="credential") as caught:
        open_table(Lake(access=embedded.access, catalog=wrong), "sales.flights")
    assert "no such secret" not in str(caught.value)
    dead = dataclasses.replace(embedded.catalog, uri="http://127.0.0.1:1")
    with pytest.raises(Unreachable, match="does not answer"):
        open_table(Lake(access=embedded.access, catalog=dead), "sales.flights")
    with pytest.raises(TableMissing, match="nowhere"):
        open_table(
            Lake(access=embedded.access, catalog=dataclasses.replace(embedded.catalog, warehouse="nowhere")),
            "sales.flights",
        )


# --- read alone


def test_a_table_is_read_by_its_metadata_file_alone(table, embedded, uri):
    table.append(sensors(10), transaction="a")
    location = _loaded(embedded, uri).metadata_location
    table.append(sensors(10, first=10), transaction="b")
    alone = open_table(Lake(access=embedded.access), location)
    assert read_all(alone.snapshot()).equals(sensors(10))
    with pytest.raises(UnsupportedTable, match="through its catalog"):
        alone.append(sensors(10), transaction="c")


def test_a_table_is_read_by_where_it_lies_alone(table, embedded, uri):
    alone = open_table(Lake(access=embedded.access), _loaded(embedded, uri).metadata.location)
    for number in range(11):  # v2 to v12: numbers, not text, are compared
        table.append(sensors(1, first=number), transaction=str(number))
    assert read_all(alone.snapshot()).equals(sensors(11))


def test_two_metadata_files_of_one_number_are_refused(table, embedded, uri):
    bucket, key = uris.parse(_loaded(embedded, uri).metadata_location)
    store = Bucket(bucket, embedded.access)
    folder = key.rpartition("/")[0]
    store.put(f"{folder}/00001-twin.metadata.json", store.get(key).data)
    with pytest.raises(UnsupportedTable, match="2 metadata files of the number 1"):
        open_table(Lake(access=embedded.access), f"s3://{bucket}/{folder.rpartition('/')[0]}")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda text: text.replace('"long"', '"variant"'), UnsupportedTable, "variant"),
        (lambda text: text.replace('"format-version":2', '"format-version":4'), UnsupportedTable, "tag '4'"),
        (lambda text: "{", UnsupportedTable, "cannot be read"),
    ],
)
def test_metadata_that_are_not_understood_are_refused(table, embedded, uri, change, error, message):
    bucket, key = uris.parse(_loaded(embedded, uri).metadata_location)
    store = Bucket(bucket, embedded.access)
    text = change(store.get(key).data.decode())
    other = f"{key.rpartition('/')[0]}/changed.metadata.json"
    store.put(other, text.encode())
    with pytest.raises(error, match=message):
        open_table(embedded, f"s3://{bucket}/{other}").snapshot()


# --- exactly once, with expiry


def test_a_replay_is_recognised_after_its_snapshot_has_expired(table, embedded, uri):
    first = table.append(sensors(10), transaction="a").snapshot_id
    second = table.append(sensors(10, first=10), transaction="b").snapshot_id
    _loaded(embedded, uri).maintenance.expire_snapshots().by_id(int(first)).commit()
    with pytest.raises(NoSuchSnapshot, match=f"it has 1, from {second}"):
        table.snapshot(first)
    again = table.append(sensors(10), transaction="a")
    assert (again.added, again.snapshot_id) == (False, second)
    assert read_all(table.snapshot()).equals(sensors(20))


def test_after_a_rollback_a_lost_transaction_is_added_again_and_a_kept_one_is_not(table, embedded, uri):
    first = table.append(sensors(10), transaction="a").snapshot_id
    table.append(sensors(10, first=10), transaction="b")
    _loaded(embedded, uri).manage_snapshots().rollback_to_snapshot(int(first)).commit()
    assert count(table) == 10
    assert not table.append(sensors(10), transaction="a").added
    assert table.append(sensors(10, first=10), transaction="b").added
    assert not table.append(sensors(10, first=10), transaction="b").added
    assert read_all(table.snapshot()).equals(sensors(20))


def test_uuids_of_another_writer_are_read(embedded):
    catalog = connect(embedded.catalog, embedded.access)
    catalog.create_namespace_if_not_exists("uuids")
    schema = Schema(NestedField(1, "key", UUIDType(), required=False))
    identifier = ("uuids", f"t{secrets.token_hex(6)}")
    keys = pa.array([bytes([number]) * 16 for number in range(3)], pa.binary(16))
    catalog.create_table(identifier, schema).append(pa.table({"key": keys}))
    rows = read_all(open_table(embedded, ".".join(identifier)).snapshot())
    assert rows.column("key").to_pylist() == keys.to_pylist()


def test_only_the_newest_transactions_are_kept_beside_the_snapshots(table, embedded, uri, monkeypatch):
    monkeypatch.setattr(iceberg_commit, "REMEMBERED", 2)
    for number in range(4):
        table.append(sensors(1, first=number), transaction=str(number))
    recent = _loaded(embedded, uri).metadata.properties["carousel.recent-transactions"]
    assert len(recent.split(",")) == 2
    assert not table.append(sensors(1), transaction="0").added  # its snapshot is still there


# --- schemas and deletes


def test_an_old_snapshot_has_the_schema_of_its_time(table, embedded, uri):
    table.append(sensors(10), transaction="a")
    old = table.snapshot()
    with _loaded(embedded, uri).update_schema() as update:
        update.rename_column("x", "temperature")
        update.add_column("unit", StringType())
        update.update_column("n", doc="counted")
        update.move_first("unit")
    new = table.snapshot()
    assert new.schema.names == ["unit", "entity", "time", "temperature", "n"]
    assert new.id == f"{old.id}.1"
    assert new.column_identity("temperature") == old.column_identity("x")
    assert [it.identity for it in new.files] == [it.identity for it in old.files]
    for pinned, names in ((old.id, SENSORS.names), (new.id, new.schema.names)):
        again = table.snapshot(pinned)
        assert (again.id, again.schema.names) == (pinned, names)
    assert read_all(new).column("temperature").equals(sensors(10).column("x"))
    assert read_all(new).column("unit").null_count == 10
    table.append(read_all(new), transaction="b")
    assert table.snapshot().id.isdigit()


def test_a_widened_column_is_read_and_bounded(table, embedded, uri):
    table.append(sensors(10), transaction="a")
    before = table.snapshot()
    with _loaded(embedded, uri).update_schema() as update:
        update.update_column("x", DoubleType())
    after = table.snapshot()
    assert read_all(after).column("x").equals(sensors(10).column("x").cast(pa.float64()))
    assert after.files[0].statistics["x"].max == before.files[0].statistics["x"].max
    assert after.column_identity("x") != before.column_identity("x")


def test_equality_deletes_are_refused_by_name(table, monkeypatch):
    table.append(sensors(10), transaction="a")
    delete = DataFile.from_args(content=DataFileContent.EQUALITY_DELETES, file_path="s3://tables/x")
    entry = ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, data_file=delete)
    monkeypatch.setattr(iceberg_plan, "_entries", lambda *_: [entry])
    with pytest.raises(UnsupportedTable, match=r"equality deletes.*rewrite_data_files"):
        table.snapshot()


def test_encrypted_files_are_refused_by_name(table, monkeypatch):
    table.append(sensors(10), transaction="a")
    data = DataFile.from_args(content=DataFileContent.DATA, file_path="s3://tables/x", key_metadata=b"key")
    entry = ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, data_file=data)
    monkeypatch.setattr(iceberg_plan, "_entries", lambda *_: [entry])
    with pytest.raises(UnsupportedTable, match="encrypted"):
        table.snapshot()


def test_a_manifest_that_is_gone_is_named_with_its_snapshot(table, embedded, uri):
    table.append(sensors(10), transaction="a")
    loaded = _loaded(embedded, uri)
    newest = loaded.current_snapshot()
    assert newest is not None
    bucket, key = uris.parse(newest.manifest_list)
    Bucket(bucket, embedded.access).delete(key)
    with pytest.raises(SnapshotDamaged, match=f"{newest.snapshot_id}.*is gone"):
        table.snapshot()
