"""Read a Delta checkpoint: classic (one file or several parts) or V2 (a top level with sidecars)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from storage.objects import Bucket
from storage.tables.errors import SnapshotDamaged
from storage.tables.ranged import Place, split

_ADD = ("path", "partitionValues", "size", "modificationTime", "stats", "deletionVector")
_WHOLE = ("protocol", "metaData", "sidecar")


def read_checkpoint(places: Sequence[Place], root: str) -> Iterator[Mapping[str, Any]]:
    """The actions of a checkpoint, those of its sidecars included, shaped as in a commit.

    Args:
        places: the checkpoint's file, or all its parts.
        root: key of the table.
    """
    for place in places:
        for action in _actions(place):
            if sidecar := action.get("sidecar"):
                yield from _actions(_sidecar(place, sidecar, root))
            else:
                yield action


def _sidecar(place: Place, sidecar: Mapping[str, Any], root: str) -> Place:
    path = unquote(sidecar["path"])
    if "://" in path:
        bucket, key = split(path, place.snapshot)
        return replace(
            place, bucket=Bucket(bucket, place.bucket.access), key=key, size=sidecar["sizeInBytes"]
        )
    folder = f"{root}/_delta_log" if root else "_delta_log"
    key = f"{folder}/_sidecars/{path}"
    return replace(place, key=key, size=sidecar["sizeInBytes"])


def _actions(place: Place) -> Iterator[Mapping[str, Any]]:
    data = place.whole()
    try:
        if place.key.endswith(".json"):
            yield from (json.loads(line) for line in data.splitlines() if line.strip())
        else:
            yield from _from_parquet(pq.ParquetFile(pa.BufferReader(data)))
    except (pa.ArrowInvalid, ValueError) as error:
        raise SnapshotDamaged(f"{place.uri} is no Delta checkpoint: {error}") from error


def _from_parquet(file: pq.ParquetFile) -> Iterator[Mapping[str, Any]]:
    schema = file.schema_arrow
    wanted = [name for name in _WHOLE if name in schema.names]
    if "add" in schema.names:
        have = {child.name for child in schema.field("add").type}
        wanted += [f"add.{name}" for name in _ADD if name in have]
        if "stats_parsed" in have:
            wanted.append("add.stats_parsed")
    for batch in file.iter_batches(batch_size=16_384, columns=wanted):
        for name in batch.schema.names:
            column = batch.column(name)
            for action in column.filter(column.is_valid()).to_pylist():
                yield {name: _shaped(name, action)}


def _shaped(name: str, action: dict[str, Any]) -> dict[str, Any]:
    """Maps are lists of pairs in Arrow; statistics may be there as text, as a struct, or both."""
    if name == "metaData":
        action["configuration"] = dict(action.get("configuration") or ())
    if name == "add":
        action["partitionValues"] = dict(action.get("partitionValues") or ())
        parsed = action.pop("stats_parsed", None)
        if action.get("stats") is None:
            action["stats"] = parsed
    return action
