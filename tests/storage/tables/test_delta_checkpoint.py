"""Checkpoints of every shape give the same table as the commits that they stand for."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.tables.errors import SnapshotDamaged
from storage.tables.open import open_table

from .delta_by_hand import Log, add, inline, metadata, protocol
from .rows import read_all

VECTOR = pa.struct(
    [
        ("storageType", pa.string()),
        ("pathOrInlineDv", pa.string()),
        ("offset", pa.int32()),
        ("sizeInBytes", pa.int32()),
        ("cardinality", pa.int64()),
    ]
)
BOUNDS = pa.struct([("n", pa.int64())])
ADD = [
    ("path", pa.string()),
    ("partitionValues", pa.map_(pa.string(), pa.string())),
    ("size", pa.int64()),
    ("modificationTime", pa.int64()),
    ("dataChange", pa.bool_()),
    ("deletionVector", VECTOR),
]
PARSED = pa.struct(
    [("numRecords", pa.int64()), ("minValues", BOUNDS), ("maxValues", BOUNDS), ("nullCount", BOUNDS)]
)
OTHER = {
    "protocol": pa.struct(
        [
            ("minReaderVersion", pa.int32()),
            ("minWriterVersion", pa.int32()),
            ("readerFeatures", pa.list_(pa.string())),
            ("writerFeatures", pa.list_(pa.string())),
        ]
    ),
    "metaData": pa.struct(
        [
            ("id", pa.string()),
            ("schemaString", pa.string()),
            ("partitionColumns", pa.list_(pa.string())),
            ("configuration", pa.map_(pa.string(), pa.string())),
            ("createdTime", pa.int64()),
        ]
    ),
    "txn": pa.struct([("appId", pa.string()), ("version", pa.int64())]),
    "sidecar": pa.struct([("path", pa.string()), ("sizeInBytes", pa.int64())]),
}


def _encode(actions: Sequence[Mapping[str, Any]], *, parsed: bool) -> bytes:
    """A checkpoint file; statistics as text, or as a struct only."""
    stats = ("stats_parsed", PARSED) if parsed else ("stats", pa.string())
    types = {"add": pa.struct([*ADD, stats]), **OTHER}
    columns = {name: pa.array([it.get(name) for it in actions], type_) for name, type_ in types.items()}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _struct(action: Mapping[str, Any], *, parsed: bool) -> dict[str, Any]:
    ((name, content),) = action.items()
    content = dict(content)
    for field in ("partitionValues", "configuration"):
        if field in content:
            content[field] = list(content[field].items())
    if parsed and "stats" in content:
        content["stats_parsed"] = json.loads(content.pop("stats"))
    return {name: content}


@pytest.fixture
def log(embedded, uri) -> Log:
    return Log(uri, embedded.access)


@pytest.fixture
def actions(log) -> list[dict[str, Any]]:
    """Three files of ten rows, the first with a deletion vector; a commit that says so."""
    sizes = [log.data(f"{it} ä.parquet", pa.table({"n": range(10 * it, 10 * it + 10)})) for it in range(3)]
    made = [protocol("deletionVectors", "v2Checkpoint"), metadata([{"name": "n", "type": "long"}])]
    for number, size in enumerate(sizes):
        stats = {
            "numRecords": 10,
            "minValues": {"n": 10 * number},
            "maxValues": {"n": 10 * number + 9},
            "nullCount": {"n": 0},
        }
        more = {"deletionVector": inline([1, 2])} if number == 0 else {}
        made.append(add(f"{number}%20%C3%A4.parquet", size, stats=json.dumps(stats), **more))
    log.commit(*made)
    return made


def _sidecar(log: Log, files: Sequence[Mapping[str, Any]], *, parsed: bool) -> dict[str, Any]:
    name, data = f"{uuid.uuid4()}.parquet", _encode(files, parsed=parsed)
    log.bucket.put(f"{log.root}/_delta_log/_sidecars/{name}", data)
    return {"sidecar": {"path": name, "sizeInBytes": len(data)}}


@pytest.mark.parametrize("parsed", [False, True], ids=["text", "struct"])
@pytest.mark.parametrize("shape", ["classic", "parts", "v2 json", "v2 parquet"])
def test_a_checkpoint_stands_for_its_commits(log, actions, embedded, uri, shape, parsed):
    from_commits = open_table(embedded, uri).snapshot()
    start = f"{log.root}/_delta_log/{0:020d}"
    shaped = [_struct(it, parsed=parsed) for it in actions]
    if shape == "classic":
        log.bucket.put(f"{start}.checkpoint.parquet", _encode(shaped, parsed=parsed))
    elif shape == "parts":
        for number, part in enumerate((shaped[3:], shaped[:3]), start=1):
            name = f"{start}.checkpoint.{number:010d}.{2:010d}.parquet"
            log.bucket.put(name, _encode(part, parsed=parsed))
    else:
        cars = [_sidecar(log, [it], parsed=parsed) for it in shaped[2:]]
        if shape == "v2 json":
            lines = "\n".join(json.dumps(it) for it in (*actions[:2], {"checkpointMetadata": {}}, *cars))
            log.bucket.put(f"{start}.checkpoint.{uuid.uuid4()}.json", lines.encode())
        else:
            data = _encode([*shaped[:2], *cars], parsed=parsed)
            log.bucket.put(f"{start}.checkpoint.{uuid.uuid4()}.parquet", data)
    log.bucket.delete(f"{start}.json")
    snapshot = open_table(embedded, uri).snapshot()
    assert (snapshot.id, [it.identity for it in snapshot.files]) == (
        "0",
        [it.identity for it in from_commits.files],
    )
    assert read_all(snapshot).column("n").to_pylist() == [0, *range(3, 30)]
    assert [dict(it.statistics) for it in snapshot.files] == [
        dict(it.statistics) for it in from_commits.files
    ]


def test_a_checkpoint_with_a_missing_part_is_passed_over(log, actions, embedded, uri):
    part = _encode([_struct(it, parsed=False) for it in actions[:3]], parsed=False)
    log.bucket.put(f"{log.root}/_delta_log/{0:020d}.checkpoint.{1:010d}.{2:010d}.parquet", part)
    assert len(open_table(embedded, uri).snapshot().files) == 3


def test_a_checkpoint_that_is_no_parquet_is_named(log, actions, embedded, uri):
    log.bucket.put(f"{log.root}/_delta_log/{0:020d}.checkpoint.parquet", b"<html>")
    with pytest.raises(SnapshotDamaged, match=r"checkpoint\.parquet is no Delta checkpoint"):
        open_table(embedded, uri).snapshot()
