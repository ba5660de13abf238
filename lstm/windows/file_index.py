"""The pieces of one data file, found once by scanning its keys, and kept by the file's identity."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from lstm.windows.columns import Keys
from lstm.windows.packing import pack, unpack
from lstm.windows.runs import Entity, runs_of
from storage.checkpoints.canonical import dumps
from storage.tables.protocol import DataFile, Snapshot

FORMAT = 1
"""Changes whenever the same file would be indexed differently."""


@dataclass(frozen=True, slots=True)
class FileIndex:
    """About 25 bytes per piece. Pieces stand in file order and tile the live rows of the row groups."""

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
    """How often the most usual times between neighbouring rows of an entity occur."""

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return dumps(
            {
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
            index = cls(
                group_rows=unpack(values["group_rows"], np.int64),
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
        if len(lengths) != 1 or int(index.rows.sum()) != int(index.group_rows.sum()):
            raise ValueError("the pieces of an index do not tile its rows")
        return index


def cache_name(snapshot: Snapshot, file: DataFile, keys: Keys) -> str:
    """Name an index by all that decides what is in it."""
    columns = [snapshot.column_identity(column) for column in keys.columns]
    decides = [FORMAT, file.identity, columns, keys.entity is not None, keys.ordinal, keys.max_gap]
    return blake3(dumps(decides)).hexdigest()


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
        group_rows=np.array(group_rows, np.int64),
        entities=list(place),
        entity=columns[0].astype(np.int32),
        rows=columns[1].astype(np.int32),
        first_time=columns[2].astype(np.int64),
        last_time=columns[3].astype(np.int64),
        regular=columns[4].astype(np.bool_),
        steps=dict(steps),
    )
