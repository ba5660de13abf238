"""The pieces of one data file, found once by scanning its keys, or of several that were joined.

Kept in the bucket by `index_cache`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from lstm.windows.arrays.packing import pack, unpack
from lstm.windows.index.runs import Entity, runs_of
from lstm.windows.table.keys import Keys
from storage.checkpoints.format.canonical import dumps
from storage.tables.protocol import DataFile, Snapshot

FORMAT = 2
"""Changes whenever the same file would be indexed differently."""


@dataclass(frozen=True, slots=True)
class FileIndex:
    """About 25 bytes per piece. Pieces stand in file order and tile the live rows of the row groups."""

    file_groups: NDArray[np.int64]
    """[F] row groups of each file."""
    group_rows: NDArray[np.int64]
    """[G] live rows of each row group."""
    entities: list[Any]
    """Values (`Entity`) that `entity` counts into, in the order in which the file has them."""
    entity: NDArray[np.int32]
    """[n pieces]"""
    rows: NDArray[np.int32]
    first_time: NDArray[np.int64]
    last_time: NDArray[np.int64]
    regular: NDArray[np.bool_]
    steps: dict[int, int]
    """How often the most usual times between neighbouring rows of a piece occur."""

    def to_bytes(self) -> bytes:
        """Canonical JSON; "file_groups" stands there only for several files."""
        several = {"file_groups": pack(self.file_groups)} if len(self.file_groups) != 1 else {}
        return dumps(
            {
                **several,
                "format": FORMAT,
                "group_rows": pack(self.group_rows),
                "entities": self.entities,
                "entity": pack(self.entity),
                "rows": pack(self.rows),
                "first_time": pack(self.first_time),
                "last_time": pack(self.last_time),
                "regular": pack(self.regular),
                "steps": sorted(self.steps.items()),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> FileIndex:
        """The inverse of `to_bytes`.

        Raises:
            ValueError: not an index of this format.
        """
        try:
            values = json.loads(data)
            if values["format"] != FORMAT:
                raise ValueError(f"index format {values['format']}, expected {FORMAT}")
            group_rows = unpack(values["group_rows"], np.int64)
            several = values.get("file_groups")
            index = cls(
                file_groups=np.array([len(group_rows)]) if several is None else unpack(several, np.int64),
                group_rows=group_rows,
                entities=list(values["entities"]),
                entity=unpack(values["entity"], np.int32),
                rows=unpack(values["rows"], np.int32),
                first_time=unpack(values["first_time"], np.int64),
                last_time=unpack(values["last_time"], np.int64),
                regular=unpack(values["regular"], np.bool_),
                steps=dict(values["steps"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an index: {error!r}") from None
        lengths = {
            len(a) for a in (index.entity, index.rows, index.first_time, index.last_time, index.regular)
        }
        if len(lengths) != 1 or int(index.rows.sum(dtype=np.int64)) != int(index.group_rows.sum()):
            raise ValueError("the pieces of an index do not tile its rows")
        if int(index.file_groups.sum()) != len(group_rows) or bool(np.any(index.file_groups < 0)):
            raise ValueError("the row groups of an index are not those of its files")
        if len(index.entity) and not 0 <= index.entity.min() <= index.entity.max() < len(index.entities):
            raise ValueError("an index names an entity that it does not have")
        return index


def cache_name(snapshot: Snapshot, file: DataFile, keys: Keys) -> str:
    """Name an index by all that decides what is in it."""
    columns = [snapshot.column_identity(column) for column in keys.columns]
    decides = [FORMAT, file.identity, columns, keys.entity is not None, keys.ordinal, *keys.cut_by]
    return blake3(dumps(decides)).hexdigest()


def joined(parts: Sequence[FileIndex]) -> FileIndex:
    """One index of all files of several, in order."""
    place: dict[Entity, int] = {}
    steps: Counter[int] = Counter()
    entity = []
    for part in parts:
        code = np.array([place.setdefault(it, len(place)) for it in part.entities], np.int32)
        entity.append(code[part.entity])
        steps.update(part.steps)
    return FileIndex(
        file_groups=np.concatenate([part.file_groups for part in parts]),
        group_rows=np.concatenate([part.group_rows for part in parts]),
        entities=list(place),
        entity=np.concatenate(entity),
        rows=np.concatenate([part.rows for part in parts]),
        first_time=np.concatenate([part.first_time for part in parts]),
        last_time=np.concatenate([part.last_time for part in parts]),
        regular=np.concatenate([part.regular for part in parts]),
        steps=dict(steps),
    )


def scan(snapshot: Snapshot, file: DataFile, keys: Keys) -> FileIndex:
    """Read the keys of a file, one row group at a time.

    Raises:
        NullKey, DuplicateRows, UnsortedTable: the rows cannot serve.
    """
    group_rows = snapshot.row_groups(file)
    place: dict[Entity, int] = {}
    steps: Counter[int] = Counter()
    parts: list[tuple[NDArray[Any], ...]] = []
    for group, rows in enumerate(group_rows):
        if not rows:
            continue
        table = snapshot.read(file, group, keys.columns)
        runs = runs_of(table, keys, f"row group {group} of {file.path}")
        code = np.array([place.setdefault(entity, len(place)) for entity in runs.entities])
        steps.update(runs.steps)
        parts.append((code[runs.entity], runs.rows, runs.first_time, runs.last_time, runs.regular))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] or [np.empty(0, np.int64)] * 5
    return FileIndex(
        file_groups=np.array([len(group_rows)], np.int64),
        group_rows=np.array(group_rows, np.int64),
        entities=list(place),
        entity=columns[0].astype(np.int32),
        rows=columns[1].astype(np.int32),
        first_time=columns[2].astype(np.int64),
        last_time=columns[3].astype(np.int64),
        regular=columns[4].astype(np.bool_),
        steps=dict(steps),
    )
