"""The contract for Delta, and what only Delta has: its log, checkpoints, other engines on the whole table."""

import dataclasses
import json
from collections.abc import Callable

import deltalake
import polars
import pyarrow as pa
import pytest

from storage import uri as uris
from storage.objects import AccessDenied, Bucket, BucketMissing, Unreachable
from storage.tables import delta
from storage.tables.errors import NoSuchSnapshot, SnapshotDamaged, UnsupportedTable
from storage.tables.open import Lake, create_table, open_table

from .contract import TableContract
from .rows import SENSORS, count, read_all, sensors


class TestDelta(TableContract):
    format_ = "delta"

    @pytest.fixture
    def at_commit(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
        commit = delta._commit

        def patch(before: Callable[[], None]) -> None:
            def commit_after(*args) -> None:
                before()
                commit(*args)

            monkeypatch.setattr(delta, "_commit", commit_after)

        return patch

    @pytest.fixture
    def lost_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        commit = delta._commit

        def commit_and_fail(*args) -> None:
            monkeypatch.setattr(delta, "_commit", commit)
            commit(*args)
            raise OSError("connection reset by peer")

        monkeypatch.setattr(delta, "_commit", commit_and_fail)


class TestDeltaOnMinIO(TestDelta):
    sampled = True

    @pytest.fixture
    def lake(self, on_minio: Lake) -> Lake:
        return on_minio


class TestDeltaOnExternal(TestDelta):
    """The server that CAROUSEL_TEST_S3_ENDPOINT names."""

    @pytest.fixture
    def lake(self, on_external: Lake) -> Lake:
        return on_external

    @pytest.fixture
    def uri(self, external_uri: str) -> str:
        return external_uri


@pytest.fixture
def table(embedded, uri):
    return create_table(embedded, uri, SENSORS, format="delta", row_group_rows=100)


@pytest.fixture
def options(embedded: Lake) -> dict[str, str]:
    access = embedded.access
    return {
        "AWS_ENDPOINT_URL": access.endpoint_url or "",
        "AWS_ACCESS_KEY_ID": access.access_key or "",
        "AWS_SECRET_ACCESS_KEY": access.secret_key or "",
        "AWS_REGION": access.region or "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }


def _forget(table, embedded: Lake, versions: range) -> None:
    bucket, root = uris.parse(table.uri)
    for version in versions:
        Bucket(bucket, embedded.access).delete(f"{root}/_delta_log/{version:020d}.json")


def test_statistics_are_json_whatever_the_values(embedded, uri):
    table = create_table(embedded, uri, pa.schema([("x", pa.float64())]), format="delta")
    table.append(pa.table({"x": [1.0, float("inf")]}), transaction="a")
    bucket, root = uris.parse(uri)
    log = Bucket(bucket, embedded.access).get(f"{root}/_delta_log/{1:020d}.json").data.decode()
    (add,) = [json.loads(line)["add"] for line in log.splitlines() if '"add"' in line]
    assert json.loads(add["stats"]) == {
        "numRecords": 2,
        "minValues": {"x": 1.0},
        "maxValues": {},
        "nullCount": {"x": 0},
    }


def test_polars_reads_the_whole_table(table, uri, options):
    for number in range(3):
        table.append(sensors(100, first=100 * number), transaction=str(number))
    rows = polars.scan_delta(uri, storage_options=options).collect().sort("n").to_arrow()
    assert rows.cast(SENSORS).equals(sensors(300))


def test_deletes_of_another_writer_are_seen_and_change_the_files(table, uri, options):
    table.append(sensors(100), transaction="a")
    before = table.snapshot()
    deltalake.DeltaTable(uri, storage_options=options).delete("n < 30")
    after = table.snapshot()
    assert read_all(after).equals(sensors(70, first=30))
    assert not {it.identity for it in before.files} & {it.identity for it in after.files}
    assert read_all(before).equals(sensors(100))


def test_a_replay_is_recognised_after_a_checkpoint_and_the_loss_of_older_log_entries(
    table, uri, options, embedded
):
    for number in range(3):
        table.append(sensors(10, first=10 * number), transaction=str(number))
    deltalake.DeltaTable(uri, storage_options=options).create_checkpoint()
    _forget(table, embedded, range(3))
    assert not table.append(sensors(10), transaction="0").added
    assert table.append(sensors(10, first=30), transaction="3").added
    assert read_all(table.snapshot()).equals(sensors(40))
    assert [it.id for it in table.snapshots()] == ["3", "4"]
    with pytest.raises(NoSuchSnapshot, match="no version 2: versions 3 to 4 can be read; the log"):
        table.snapshot("2")


def test_appends_keep_old_log_entries_however_short_their_retention(table, uri, options):
    deltalake.DeltaTable(uri, storage_options=options).alter.set_table_properties(
        {
            "delta.logRetentionDuration": "interval 0 days",
            "delta.enableExpiredLogCleanup": "true",
            "delta.checkpointInterval": "1",
        }
    )
    for number in range(3):
        table.append(sensors(10, first=10 * number), transaction=str(number))
    # Version 0 goes with the library's own change of the properties.
    assert [it.id for it in table.snapshots()][-4:] == ["1", "2", "3", "4"]


def test_a_version_whose_commit_is_only_in_a_checkpoint_can_be_read(table, uri, options, embedded):
    table.append(sensors(10), transaction="a")
    deltalake.DeltaTable(uri, storage_options=options).create_checkpoint()
    _forget(table, embedded, range(2))
    snapshot = open_table(embedded, uri).snapshot()
    assert (snapshot.id, read_all(snapshot).equals(sensors(10))) == ("1", True)


def test_a_hole_in_the_log_hides_what_lies_behind_it(table, embedded):
    for number in range(4):
        table.append(sensors(10, first=10 * number), transaction=str(number))
    _forget(table, embedded, range(2, 3))
    with pytest.raises(NoSuchSnapshot, match="versions 0 to 1"):
        table.snapshot("3")


def test_a_log_without_a_start_is_said_to_be_damaged(table, embedded):
    table.append(sensors(10), transaction="a")
    _forget(table, embedded, range(1))
    with pytest.raises(SnapshotDamaged, match="no version that can be read"):
        table.snapshot()


def test_a_log_entry_that_is_no_json_is_named(table, embedded):
    bucket, root = uris.parse(table.uri)
    Bucket(bucket, embedded.access).put(f"{root}/_delta_log/{1:020d}.json", b"<html>")
    with pytest.raises(SnapshotDamaged, match=r"0001\.json is no Delta commit"):
        table.snapshot()


def test_files_agree_with_those_that_the_delta_library_sees(table, uri, options):
    for number in range(3):
        table.append(sensors(50, first=50 * number), transaction=str(number))
    actions = pa.table(deltalake.DeltaTable(uri, storage_options=options).get_add_actions())
    ours = {(it.path, it.size, it.rows) for it in table.snapshot().files}
    names = ("path", "size_bytes", "num_records")
    theirs = zip(*(actions.column(name).to_pylist() for name in names), strict=True)
    assert ours == {(f"{uri}/{path}", size, rows) for path, size, rows in theirs}


@pytest.mark.parametrize("feature", ["catalogManaged", "somethingNew"])
def test_a_reader_feature_that_is_not_known_is_refused_by_name(table, embedded, feature):
    bucket, root = uris.parse(table.uri)
    features = {"readerFeatures": [feature], "writerFeatures": [feature]}
    action = {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}}
    key = f"{root}/_delta_log/{1:020d}.json"
    Bucket(bucket, embedded.access).put(key, json.dumps(action).encode())
    with pytest.raises(UnsupportedTable, match=feature):
        table.snapshot()


def test_a_table_that_may_have_variants_is_read_and_written_unless_it_has_one(embedded, uri, options):
    """As the delta library makes tables whose deletes are to be marked."""
    rows = sensors(50)
    asked = {"delta.enableDeletionVectors": "true"}
    deltalake.write_deltalake(uri, rows, configuration=asked, storage_options=options)
    reader_features = deltalake.DeltaTable(uri, storage_options=options).protocol().reader_features
    assert "variantType" in reader_features
    table = open_table(embedded, uri)
    table.append(sensors(50, first=50), transaction="more")
    assert sum(file.rows for file in table.snapshot().files) == 100
    bucket, root = uris.parse(uri)
    variant = {"name": "v", "type": "variant", "nullable": True, "metadata": {}}
    schema = json.dumps({"type": "struct", "fields": [variant]})
    changed = {"id": "0", "format": {"provider": "parquet", "options": {}}, "schemaString": schema}
    action = {"metaData": {**changed, "partitionColumns": [], "configuration": {}}}
    key = f"{root}/_delta_log/{2:020d}.json"
    Bucket(bucket, embedded.access).put(key, json.dumps(action).encode())
    with pytest.raises(UnsupportedTable, match="'v' has the type 'variant'"):
        table.snapshot()


def test_a_key_that_delta_libraries_read_differently_is_refused(embedded, uri):
    with pytest.raises(UnsupportedTable, match="ASCII"):
        create_table(embedded, f"{uri}/ä b%20", SENSORS, format="delta")


def test_wrong_keys_a_missing_bucket_and_a_dead_server_are_told_apart(embedded, uri):
    wrong = dataclasses.replace(embedded.access, secret_key="no such key")
    with pytest.raises(AccessDenied, match="secret key") as caught:
        open_table(Lake(access=wrong), uri)
    assert "no such key" not in str(caught.value)
    with pytest.raises(BucketMissing, match="nothing-here"):
        create_table(Lake(access=embedded.access), "s3://nothing-here/t", SENSORS)
    dead = dataclasses.replace(embedded.access, endpoint_url="http://127.0.0.1:1", patience_s=1)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        open_table(Lake(access=dead), uri)


def test_creating_a_table_on_a_server_that_died_says_so(embedded, uri, monkeypatch):
    def fail(*args, **options) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(delta.deltalake.DeltaTable, "create", fail)
    with pytest.raises(Unreachable, match="could not create"):
        create_table(embedded, uri, SENSORS, format="delta")


def test_appending_to_a_server_that_died_adds_nothing_and_says_so(table, monkeypatch):
    def fail(*args) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(delta, "_commit", fail)
    with pytest.raises(Unreachable, match="nothing was added"):
        table.append(sensors(10), transaction="a")
    monkeypatch.undo()
    assert table.append(sensors(10), transaction="a").added
    assert count(table) == 10
