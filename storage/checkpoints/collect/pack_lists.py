"""Which packs each manifest lists, kept in a local file, so that collections read each manifest once ever.

Manifests are immutable and their names never come back, so what was read once holds for ever. A row that is
not what was written would let a collector delete what is needed: each carries its hash, and one that does not
fit is as good as none. 10^6 manifests of 50 packs take about 1.1 GB of disk; memory does not grow.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from blake3 import blake3

_PACK_BYTES = 4 + 16
_HASH_BYTES = 16
_AT_ONCE = 500
"""Keys in one question: older versions of SQLite take no more than 999."""


class PackLists:
    """Packs by the key of their manifest. Belongs to one thread; a file may be shared between processes."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it. `sqlite3.Error`: it is no such file, or cannot be written."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rows = sqlite3.connect(path, timeout=60)
        self._rows.execute(
            "CREATE TABLE IF NOT EXISTS lists (manifest TEXT PRIMARY KEY, packs BLOB) WITHOUT ROWID"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()

    def get(self, manifests: Sequence[str]) -> dict[str, list[str]]:
        """The packs of those of these manifests that are known."""
        found: dict[str, list[str]] = {}
        for begin in range(0, len(manifests), _AT_ONCE):
            some = manifests[begin : begin + _AT_ONCE]
            marks = ",".join("?" * len(some))
            question = f"SELECT manifest, packs FROM lists WHERE manifest IN ({marks})"  # noqa: S608 - only marks
            for manifest, row in self._rows.execute(question, some):
                packs = _unpacked(manifest, row)
                if packs is not None:
                    found[manifest] = packs
        return found

    def put(self, lists: Mapping[str, Iterable[str]]) -> None:
        """Remember the packs of manifests that were read."""
        rows = [(manifest, _packed(manifest, packs)) for manifest, packs in lists.items()]
        with self._rows:
            self._rows.executemany("INSERT OR REPLACE INTO lists VALUES (?, ?)", rows)

    def forget(self, manifests: Iterable[str]) -> None:
        """Remove what is known of manifests that were deleted."""
        with self._rows:
            self._rows.executemany("DELETE FROM lists WHERE manifest = ?", ((it,) for it in manifests))


def _packed(manifest: str, packs: Iterable[str]) -> bytes:
    row = b"".join(int(name[:8]).to_bytes(4) + bytes.fromhex(name[9:]) for name in packs)
    return row + _hash(manifest, row)


def _unpacked(manifest: str, stored: object) -> list[str] | None:
    if not isinstance(stored, bytes) or len(stored) % _PACK_BYTES != _HASH_BYTES:
        return None
    row, digest = stored[:-_HASH_BYTES], stored[-_HASH_BYTES:]
    if _hash(manifest, row) != digest:
        return None
    parts = (row[begin : begin + _PACK_BYTES] for begin in range(0, len(row), _PACK_BYTES))
    return [f"{int.from_bytes(part[:4]):08d}-{part[4:].hex()}" for part in parts]


def _hash(manifest: str, row: bytes) -> bytes:
    return blake3(f"carousel packs of {manifest}\0".encode() + row).digest(_HASH_BYTES)
