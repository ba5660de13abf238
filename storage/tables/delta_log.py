"""Replay a Delta log: which files a version has, with their deletion vectors and statistics.

The log is read here and not by a library because none gives all that reading needs: the descriptors of
deletion vectors, and tables that combine them with widened types, column mapping and V2 checkpoints.
Writing goes through the library.

Cost: one listing of `_delta_log/`, the newest checkpoint at or before the version, and one small read per
later commit. Memory: the live files of one version.

Source: *Action Reconciliation* and *Checkpoints* in Delta's PROTOCOL.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from storage.objects import Bucket
from storage.tables.delta_checkpoint import read_checkpoint
from storage.tables.errors import NoSuchSnapshot, SnapshotDamaged, TableMissing, UnsupportedTable
from storage.tables.protocol import SnapshotInfo
from storage.tables.ranged import Meter, Place

_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(
    r"(\d{20})\.checkpoint\.(?:(?P<part>\d{10})\.(?P<parts>\d{10})\.|(?P<name>[0-9a-fA-F-]{36})\.)?(?:parquet|json)"
)
_READER_VERSION = 3
_READER_FEATURES = {
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "variantType",  # a table may have such columns; those that do are refused with their column
}
REMOVED_BY = "VACUUM"
KEPT_BY = "the table's property delta.deletedFileRetentionDuration (and RETAIN, where VACUUM is given one)"
"""What removes files of old versions, and what says how long they stay."""
LOG_KEPT_BY = "the table's property delta.logRetentionDuration"
"""The same for entries of the log."""
Action = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LogFile:
    """One object of the log."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Log:
    """What a listing of `_delta_log/` shows."""

    table: str
    commits: Mapping[int, LogFile]
    checkpoints: Mapping[int, tuple[LogFile, ...]] = field(repr=False)
    """Complete ones only, their parts in order."""

    def readable(self) -> list[int]:
        """Versions that can be read, ascending: from version 0 or a checkpoint on, without a hole."""
        versions: list[int] = []
        for version in sorted({*self.commits, *self.checkpoints}):
            reachable = version == 0 or (bool(versions) and versions[-1] == version - 1)
            if version in self.checkpoints or (reachable and version in self.commits):
                versions.append(version)
        return versions

    def checked(self, version: int | None) -> int:
        """The version asked for, or the newest.

        Raises:
            NoSuchSnapshot: it cannot be read (any more).
        """
        readable = self.readable()
        if not readable:
            raise SnapshotDamaged(f"the log of {self.table} has no version that can be read from its start")
        if version is None:
            return readable[-1]
        if version not in readable:
            gone = "; the log of older ones was cleaned up" if 0 <= version < readable[0] else ""
            raise NoSuchSnapshot(
                f"{self.table} has no version {version}: versions {readable[0]} to {readable[-1]} "
                f"can be read{gone}; pin one of those"
            )
        return version


@dataclass(frozen=True, slots=True)
class State:
    """A table at one version."""

    version: int
    created: datetime
    protocol: Action
    metadata: Action
    files: tuple[Action, ...]
    """Live `add` actions: those written first come first, then by path."""

    @property
    def configuration(self) -> Mapping[str, str]:
        """The table's properties."""
        return self.metadata.get("configuration") or {}


def list_log(bucket: Bucket, root: str, table: str) -> Log:
    """List the log of the table whose key is `root`.

    Raises:
        TableMissing: there is none.
    """
    folder = f"{root}/_delta_log/" if root else "_delta_log/"
    commits: dict[int, LogFile] = {}
    parts: dict[tuple[int, str], list[tuple[int, int, LogFile]]] = {}
    for info in bucket.list(folder):
        name = info.key[len(folder) :]
        file = LogFile(info.key, info.size)
        if match := _COMMIT.fullmatch(name):
            commits[int(match[1])] = file
        elif match := _CHECKPOINT.fullmatch(name):
            number, count = int(match["part"] or 1), int(match["parts"] or 1)
            parts.setdefault((int(match[1]), match["name"] or match["parts"] or ""), []).append(
                (number, count, file)
            )
    checkpoints = {
        version: tuple(file for _, _, file in sorted(found, key=lambda part: part[0]))
        for (version, _), found in sorted(parts.items())
        if len(found) == found[0][1]
    }
    if not commits and not checkpoints:
        raise TableMissing(f"there is no Delta table at {table}: nothing under {folder}; check the address")
    return Log(table, commits, checkpoints)


def replay(bucket: Bucket, log: Log, root: str, version: int, meter: Meter) -> State:
    """Which files the table has at `version`, a readable one.

    Raises:
        UnsupportedTable: it needs a reader feature that is not known here.
        SnapshotDamaged: a log entry is gone or is not one.
    """
    start = max((number for number in log.checkpoints if number <= version), default=-1)
    protocol: Action | None = None
    metadata: Action | None = None
    files: dict[tuple[str, str], Action] = {}
    if start >= 0:
        places = [_place(bucket, file, log.table, start, meter) for file in log.checkpoints[start]]
        for action in read_checkpoint(places, root):
            protocol = action.get("protocol") or protocol
            metadata = action.get("metaData") or metadata
            if add := action.get("add"):
                files[_key(add)] = add
    created: datetime | None = None
    for number, actions in commits(bucket, log, range(start + 1, version + 1), meter):
        for action in actions:
            if removed := action.get("remove"):
                files.pop(_key(removed), None)
        for action in actions:
            protocol = action.get("protocol") or protocol
            metadata = action.get("metaData") or metadata
            if add := action.get("add"):
                files[_key(add)] = add
        created = _created(actions) if number == version else created
    if protocol is None or metadata is None:
        raise SnapshotDamaged(f"the log of {log.table} has no protocol or metadata up to version {version}")
    _refuse_unknown(protocol, log.table)
    if created is None and start == version and version in log.commits:
        ((_, actions),) = commits(bucket, log, [version], meter)
        created = _created(actions)
    ordered = tuple(sorted(files.values(), key=lambda add: (add["modificationTime"], add["path"])))
    return State(version, created or _newest(ordered, metadata), protocol, metadata, ordered)


def history(bucket: Bucket, log: Log, versions: Iterable[int], meter: Meter) -> list[SnapshotInfo]:
    """Time and operation of each of `versions`, ascending; times never go back."""
    known = [version for version in versions if version in log.commits]
    entries = []
    latest = datetime.fromtimestamp(0, UTC)
    for version, actions in commits(bucket, log, known, meter):
        latest = max(latest, _created(actions) or latest)  # as Delta does when clocks disagree
        operation = next((it["commitInfo"].get("operation") for it in actions if "commitInfo" in it), None)
        entries.append(
            SnapshotInfo(id=str(version), created=latest, rows=None, operation=operation or "unknown")
        )
    return entries


def commits(
    bucket: Bucket, log: Log, versions: Iterable[int], meter: Meter
) -> Iterator[tuple[int, list[Action]]]:
    """The actions of each version, in the order asked, fetched side by side."""
    wanted = list(versions)
    files = [log.commits[version] for version in wanted]
    parts = bucket.get_ranges((file.key, 0, file.size) for file in files)
    for version, file, data in zip(wanted, files, parts, strict=True):
        meter.add(fetched=len(data))
        try:
            yield version, [json.loads(line) for line in data.splitlines() if line.strip()]
        except ValueError as error:
            raise SnapshotDamaged(f"s3://{bucket.name}/{file.key} is no Delta commit: {error}") from error


def vector_name(action: Action) -> str:
    """Names the deletion vector of a file; empty: it has none."""
    vector = action.get("deletionVector")
    if not vector:
        return ""
    return f"{vector['storageType']}{vector['pathOrInlineDv']}@{vector.get('offset')}"


def _key(action: Action) -> tuple[str, str]:
    return unquote(action["path"]), vector_name(action)


def _place(bucket: Bucket, file: LogFile, table: str, version: int, meter: Meter) -> Place:
    snapshot = f"version {version} of {table}"
    return Place(bucket, file.key, file.size, snapshot, meter, "a cleaning of the log", LOG_KEPT_BY)


def _created(actions: Iterable[Action]) -> datetime | None:
    for action in actions:
        if info := action.get("commitInfo"):
            milliseconds = info.get("inCommitTimestamp") or info.get("timestamp")
            if milliseconds is not None:
                return datetime.fromtimestamp(milliseconds / 1000, UTC)
    return None


def _newest(files: Iterable[Action], metadata: Action) -> datetime:
    """Stands in for a commit's time when only the checkpoint is left of it."""
    times = [add["modificationTime"] for add in files] or [metadata.get("createdTime") or 0]
    return datetime.fromtimestamp(max(times) / 1000, UTC)


def _refuse_unknown(protocol: Action, table: str) -> None:
    version = protocol["minReaderVersion"]
    unknown = sorted(set(protocol.get("readerFeatures") or ()) - _READER_FEATURES)
    if unknown:
        raise UnsupportedTable(
            f"{table} uses the Delta features {', '.join(unknown)}, which are not supported"
        )
    if version > _READER_VERSION:
        raise UnsupportedTable(
            f"{table} needs Delta reader version {version}; versions up to {_READER_VERSION} are supported"
        )
