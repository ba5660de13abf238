"""Which files an Iceberg snapshot has, from its manifests.

The manifests are read here, with the schema of format version 3, because the library reads them with that of
version 2 and so loses where a deletion vector lies. Cost: the manifest list and every manifest, each once.
Memory: the live files of one snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa
from pyiceberg.avro.file import AvroFile
from pyiceberg.io import FileIO
from pyiceberg.manifest import (
    MANIFEST_ENTRY_SCHEMAS,
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    _inherit_from_manifest,
)
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.name_mapping import NameMapping
from pyiceberg.table.snapshots import Snapshot

from storage.objects import NotFound
from storage.tables import protocol
from storage.tables.errors import SnapshotDamaged, UnsupportedTable
from storage.tables.iceberg_deletes import Deletes
from storage.tables.iceberg_schema import apply_names, has_ids
from storage.tables.iceberg_values import IcebergStatistics, identity_values
from storage.tables.ranged import Place
from storage.tables.snapshot import StoredFile

REMOVED_BY = "expire_snapshots"
KEPT_BY = (
    "the table's property history.expire.max-snapshot-age-ms (and older_than, where expire_snapshots is "
    "given one), or put a tag on the snapshot"
)
"""What removes files of old snapshots, and what says how long they stay."""
_THREADS = 8


def plan(
    metadata: TableMetadata,
    snapshot: Snapshot,
    schema: Schema,
    file_io: FileIO,
    place: Callable[[str, int], Place],
    needed_by: str,
) -> list[StoredFile]:
    """The data files of a snapshot, those committed first come first, then by path.

    Args:
        metadata: of the table.
        snapshot: one of its snapshots.
        schema: the one to read with.
        file_io: reads manifests.
        place: makes a place of a file's location and size.
        needed_by: the snapshot in words, for messages.

    Raises:
        UnsupportedTable: equality deletes, encryption, or files of an unknown kind.
        SnapshotDamaged: a manifest or a delete file is gone.
    """
    data: list[ManifestEntry] = []
    deletes: list[ManifestEntry] = []
    try:
        manifests = snapshot.manifests(file_io)
        with ThreadPoolExecutor(_THREADS) as pool:
            for entries in pool.map(lambda manifest: _entries(manifest, file_io), manifests):
                for entry in entries:
                    _sort(entry, data, deletes, needed_by)
    except NotFound as error:
        raise SnapshotDamaged(
            f"a metadata file that {needed_by} needs is gone ({error}): {REMOVED_BY} or a hand has removed "
            "it; pin a newer snapshot. So that a snapshot stays as long as a training needs it, raise "
            f"{KEPT_BY}"
        ) from error
    applied = Deletes(deletes, place)
    data.sort(key=lambda entry: (entry.sequence_number or 0, entry.data_file.file_path))
    names = metadata.name_mapping()
    specs = metadata.specs()
    files = []
    for entry in data:
        file, deleted = entry.data_file, applied.of(entry)
        where = place(file.file_path, file.file_size_in_bytes)
        identity = f"{where.uri}|{where.size}"
        files.append(
            StoredFile(
                file=protocol.DataFile(
                    identity=identity if deleted is None else f"{identity}|{deleted.name}",
                    path=where.uri,
                    rows=file.record_count - (0 if deleted is None else deleted.count),
                    size=where.size,
                    statistics=IcebergStatistics(schema, file),
                ),
                place=where,
                kind=file.file_format.value.lower(),
                deleted=None if deleted is None else deleted.fetch,
                constants=identity_values(file, specs, schema.fields),
                prepare=partial(_with_ids, names, where.uri),
            )
        )
    return files


def _entries(manifest: ManifestFile, file_io: FileIO) -> list[ManifestEntry]:
    with AvroFile[ManifestEntry](
        file_io.new_input(manifest.manifest_path),
        MANIFEST_ENTRY_SCHEMAS[3],
        read_types={-1: ManifestEntry, 2: DataFile},
        read_enums={0: ManifestEntryStatus, 101: FileFormat, 134: DataFileContent},
    ) as entries:
        return [
            _inherit_from_manifest(entry, manifest)
            for entry in entries
            if entry.status != ManifestEntryStatus.DELETED
        ]


def _sort(
    entry: ManifestEntry, data: list[ManifestEntry], deletes: list[ManifestEntry], needed_by: str
) -> None:
    file = entry.data_file
    if file.key_metadata is not None:
        raise UnsupportedTable(f"{needed_by} has encrypted files ({file.file_path})")
    if file.content == DataFileContent.DATA:
        data.append(entry)
    elif file.content == DataFileContent.POSITION_DELETES:
        deletes.append(entry)
    else:
        raise UnsupportedTable(
            f"{needed_by} has equality deletes, which are not supported; rewrite its data files with the "
            f"engine that made it (Spark: CALL system.rewrite_data_files)"
        )


def _with_ids(names: NameMapping | None, uri: str, fields: Sequence[pa.Field]) -> Sequence[pa.Field]:
    if has_ids(fields):
        return fields
    if names is None:
        raise UnsupportedTable(f"{uri} has no field ids, and its table no name mapping")
    return apply_names(fields, names)
