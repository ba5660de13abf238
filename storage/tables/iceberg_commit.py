"""Commit new files to an Iceberg table together with the id of the transaction that they belong to.

The id is a property of the snapshot that holds the rows. Snapshots expire, so the newest `REMEMBERED` ids
stand, as short hashes, in a property of the table too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pyiceberg.io.pyarrow import (
    MetricModeTypes,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    match_metrics_mode,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import AssertTableUUID, TableRequirement, TableUpdate
from pyiceberg.typedef import Record

from storage.tables.errors import UnsupportedTable
from storage.tables.writing import Written, unbounded

REMEMBERED = 1000
"""How many transactions are recognised although their snapshots have expired (16 bytes each)."""
_TRANSACTION = "carousel.transaction"
_RECENT = "carousel.recent-transactions"


def landed(metadata: TableMetadata, transaction: str) -> int | None:
    """The snapshot that a transaction's rows came with, or the current one if that has expired.

    None: the transaction has not landed, or its snapshot is no ancestor of the main branch's newest one any
    more (after a rollback), so the table lacks its rows. A snapshot that the metadata still hold decides by
    where it is; the property speaks only for those that have expired, since a rollback leaves it as it was.
    """
    ancestors = {entry.snapshot_id for entry in lineage(metadata)}
    rolled_back = False
    for snapshot in metadata.snapshots:
        if snapshot.summary is not None and snapshot.summary.get(_TRANSACTION) == transaction:
            if snapshot.snapshot_id in ancestors:
                return snapshot.snapshot_id
            rolled_back = True
    if not rolled_back and _short(transaction) in _recent(metadata):
        return metadata.current_snapshot_id or -1
    return None


def lineage(metadata: TableMetadata) -> Iterator[Snapshot]:
    """The newest snapshot of the main branch, and its ancestors that have not expired, newest first."""
    entry = metadata.current_snapshot()
    while entry is not None:
        yield entry
        parent = entry.parent_snapshot_id
        entry = None if parent is None else metadata.snapshot_by_id(parent)


@dataclass(frozen=True, slots=True)
class Staged:
    """A snapshot whose manifests are written, and that no table has yet."""

    table: Table
    snapshot_id: int
    requirements: tuple[TableRequirement, ...]
    updates: tuple[TableUpdate, ...]

    def commit(self) -> None:
        """Commit against exactly the metadata that the table was loaded with.

        Raises:
            CommitFailedException: another writer won.
        """
        self.table.catalog.commit_table(self.table, self.requirements, self.updates)


def stage(table: Table, files: Sequence[Written], transaction: str) -> Staged:
    """Prepare the commit of `files`."""
    prepared = table.transaction()
    producer = prepared.update_snapshot(snapshot_properties={_TRANSACTION: transaction}).fast_append()
    for written in files:
        producer.append_data_file(_data_file(table.metadata, written))
    producer.commit()  # stages; writes the manifests
    short = _short(transaction)
    known = [it for it in _recent(table.metadata) if it != short]  # it is there after a rollback
    recent = [*known, short][-REMEMBERED:]
    prepared.set_properties({_RECENT: ",".join(recent)})
    # Not `commit_transaction`: that tries again by itself, against metadata which nobody has looked at.
    requirements = (*prepared._requirements, AssertTableUUID(uuid=table.metadata.table_uuid))
    return Staged(table, producer.snapshot_id, requirements, prepared._updates)


def refuse_writing(metadata: TableMetadata, table: str) -> None:
    """Refuse tables whose writers must do what is not done here.

    Raises:
        UnsupportedTable: names the features; the table can still be read.
    """
    found = []
    if metadata.format_version > 2:
        found.append(f"format version {metadata.format_version}")
    if not metadata.spec().is_unpartitioned():
        found.append("partitions")
    if any(field.write_default is not None for field in metadata.schema().fields):
        found.append("column defaults")
    if found:
        raise UnsupportedTable(
            f"{table} can be read but not written here, because it has {', '.join(found)}; append with "
            f"the engine that made it"
        )


def _recent(metadata: TableMetadata) -> list[str]:
    text = metadata.properties.get(_RECENT, "")
    return text.split(",") if text else []


def _short(transaction: str) -> str:
    return hashlib.sha256(transaction.encode()).hexdigest()[:16]


def _data_file(metadata: TableMetadata, written: Written) -> DataFile:
    schema = metadata.schema()
    ids = parquet_path_to_id_mapping(schema)
    collectors = compute_statistics_plan(schema, metadata.properties)
    counts = match_metrics_mode(MetricModeTypes.COUNTS.value)
    for path in unbounded(written.metadata):
        collectors[ids[path]] = replace(collectors[ids[path]], mode=counts)
    statistics = data_file_statistics_from_parquet_metadata(written.metadata, collectors, ids)
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=written.location,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        file_size_in_bytes=written.size,
        sort_order_id=None,
        spec_id=metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )
