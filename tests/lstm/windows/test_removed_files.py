"""A file of the pinned snapshot is removed meanwhile: the message names it, the snapshot and the remedy."""

import deltalake
import pytest

from lstm.windows import OrderSpec, SplitSpec, open_windows
from storage import uri as uris
from storage.objects import Bucket
from storage.tables import create_table, lake_for
from storage.tables.errors import SnapshotDamaged
from storage.tables.iceberg_catalog import connect
from storage.tables.iceberg_names import identifier_of

from .conftest import sorted_table

OPTIONS = {"time": "t", "entity": "name", "context": 4, "horizon": 2}
PLAN = {"splits": SplitSpec(validation=0, test=0.2), "order": OrderSpec(lanes=2, pool=1)}


def vacuum(lake, uri):
    """Rewrite all rows into another file, and remove what only older versions need."""
    access = lake.access
    options = {
        "endpoint_url": access.endpoint_url,
        "access_key_id": access.access_key,
        "secret_access_key": access.secret_key,
        "region": "us-east-1",
        "allow_http": "true",
    }
    table = deltalake.DeltaTable(uri, storage_options=options)
    table.delete("x < 0.5")
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)


def expire(lake, uri):
    """The same on Iceberg. The library forgets the snapshot but leaves files to engines such as Spark."""
    catalog = connect(lake.catalog, lake.access)
    table = catalog.load_table(identifier_of(uri, lake.catalog))
    old = table.current_snapshot()
    files = [task.file.file_path for task in table.scan().plan_files()]
    table.delete("x < 0.5")
    table.maintenance.expire_snapshots().by_id(old.snapshot_id).commit()
    for file in files:
        name, key = uris.parse(file)
        Bucket(name, lake.access).delete(key)


@pytest.mark.parametrize(
    ("kind", "remove", "removed_by", "kept_by"),
    [
        ("delta", vacuum, "VACUUM", r"delta\.deletedFileRetentionDuration"),
        ("iceberg", expire, "expire_snapshots", r"history\.expire\.max-snapshot-age-ms"),
    ],
    ids=["delta", "iceberg"],
)
def test_a_stream_of_a_snapshot_whose_files_are_removed_says_which_and_how_to_keep_them(
    s3_server, bucket, kind, remove, removed_by, kept_by
):
    lake, uri = lake_for(s3_server), f"s3://{bucket.name}/sensors"
    table = create_table(lake, uri, sorted_table().schema, format=kind)
    table.append(sorted_table(400), transaction="a")
    pinned = table.snapshot()
    windows = open_windows(uri, lake=lake, snapshot=pinned.id, memory_mib=1, **OPTIONS, **PLAN)
    remove(lake, uri)
    said = (
        rf"{pinned.files[0].path}, which (version|snapshot) {pinned.id} of {uri} needs, is gone: "
        rf"{removed_by} .*pin a newer snapshot.*raise .*{kept_by}"
    )
    with pytest.raises(SnapshotDamaged, match=said):
        list(windows.stream(batch_size=32))
    newest = open_windows(uri, lake=lake, **OPTIONS, **PLAN)
    assert newest.plan.rows == 799
    assert sum(len(batch.values) for batch in newest.stream(batch_size=32)) == newest.plan.windows("train")
