"""Which rows of an Iceberg snapshot's files are deleted: position delete files, and v3 deletion vectors.

Position delete files are read when a snapshot is pinned, since only they tell how many rows are left; a
deletion vector says so in the manifest, and is fetched when its file is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyiceberg.manifest import DataFile, FileFormat, ManifestEntry

from storage.tables import positions
from storage.tables.errors import UnsupportedTable
from storage.tables.orc import OrcSource
from storage.tables.parquet import ParquetSource
from storage.tables.projection import field_id_of
from storage.tables.ranged import Place

_PATH, _POSITION = 2147483546, 2147483545
"""Reserved field ids of position delete files."""
_REFERENCED, _OFFSET, _LENGTH = 17, 18, 19
"""Where a manifest's record of a file has v3's fields 143 to 145; pyiceberg has no names for them."""
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Deleted:
    """The deleted rows of one data file."""

    name: str
    """Changes with the rows; for the file's identity."""
    count: int
    fetch: Callable[[], positions.Positions]


class Deletes:
    """All deletes of one snapshot, looked up by data file."""

    def __init__(self, entries: Iterable[ManifestEntry], place: Callable[[str, int], Place]) -> None:
        vectors: dict[str, tuple[int, Deleted]] = {}
        files: list[tuple[int, DataFile]] = []
        for entry in entries:
            data = entry.data_file
            if data.file_format == FileFormat.PUFFIN:
                vectors[data[_REFERENCED]] = (_sequence(entry), _vector(data, place))
            else:
                files.append((_sequence(entry), data))
        self._vectors = vectors
        self._positions: dict[str, list[tuple[int, positions.Positions]]] = {}
        with ThreadPoolExecutor(_THREADS) as pool:
            read = pool.map(lambda item: _read(item[1], place), files)
            for (sequence, _), found in zip(files, read, strict=True):
                for path, rows in found.items():
                    self._positions.setdefault(path, []).append((sequence, rows))

    def of(self, entry: ManifestEntry) -> Deleted | None:
        """The deletes that apply to a data file: those committed with it or later."""
        path, sequence = entry.data_file.file_path, _sequence(entry)
        if path in self._vectors and self._vectors[path][0] >= sequence:
            return self._vectors[path][1]  # it holds all that older position deletes said
        parts = [rows for since, rows in self._positions.get(path, ()) if since >= sequence]
        if not parts:
            return None
        rows = np.unique(np.concatenate(parts))
        rows = rows[rows < entry.data_file.record_count]
        name = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:32]
        return Deleted(f"rows:{name}", len(rows), lambda: rows)


def _sequence(entry: ManifestEntry) -> int:
    return entry.sequence_number or 0


def _vector(data: DataFile, place: Callable[[str, int], Place]) -> Deleted:
    offset, length = data[_OFFSET], data[_LENGTH]
    if data[_REFERENCED] is None or offset is None or length is None:
        raise UnsupportedTable(f"{data.file_path}: a Puffin file of deletes without place or data file")
    where = place(data.file_path, data.file_size_in_bytes)
    name = f"vector:{where.uri}@{offset}"
    return Deleted(name, data.record_count, partial(_fetch, where, offset, length))


def _fetch(place: Place, offset: int, length: int) -> positions.Positions:
    return positions.framed(place.range(offset, length), f"{place.uri} at byte {offset}")


def _read(data: DataFile, place: Callable[[str, int], Place]) -> Mapping[str, positions.Positions]:
    """Read a position delete file: deleted positions by data file."""
    where = place(data.file_path, data.file_size_in_bytes)
    if data.file_format == FileFormat.PARQUET:
        source: ParquetSource | OrcSource = ParquetSource(where)
    elif data.file_format == FileFormat.ORC:
        source = OrcSource(where)
    else:
        raise UnsupportedTable(f"{where.uri}: position deletes in {data.file_format.value} are not supported")
    columns = [_find(source.fields, _PATH, "file_path"), _find(source.fields, _POSITION, "pos")]
    groups = [source.read(group, columns) for group in range(len(source.row_groups))]
    found: dict[str, list[positions.Positions]] = {}
    for paths, rows in groups:
        encoded = paths.combine_chunks().dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        numbers = rows.to_numpy().astype(np.int64)
        for code, path in enumerate(encoded.dictionary.to_pylist()):
            found.setdefault(path, []).append(numbers[codes == code])
    return {path: np.concatenate(parts) for path, parts in found.items()}


def _find(fields: Sequence[pa.Field], field_id: int, name: str) -> int:
    for position, field in enumerate(fields):
        if field_id_of(field) == field_id or field.name == name:
            return position
    raise UnsupportedTable(f"a position delete file has no column {name!r}")
