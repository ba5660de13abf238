"""What lies in a repository: names and sizes of its immutable objects, and a mark on those that are named.

Held in arrays, 50 bytes for each object: a repository of 10^6 packs and 10^6 manifests takes 100 MB here, and
twice as much of its largest folder while that is sorted. The bucket's lists are not held.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from storage.checkpoints.format.names import OBJECT_NAME_LENGTH, PACKS, RUNS, Kind, parse_key
from storage.checkpoints.format.store import Below


class Folder:
    """The objects of one folder whose names a writer would choose."""

    def __init__(self, names: bytes | bytearray, sizes: "array[int]") -> None:
        unsorted = np.frombuffer(names, f"S{OBJECT_NAME_LENGTH}")
        order = np.argsort(unsorted, kind="stable")  # a wrong order would hide objects from `find`
        self._names, self._sizes = unsorted[order], np.frombuffer(sizes, np.int64)[order]
        self._marked = np.zeros(len(order), bool)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def nbytes(self) -> int:
        """Bytes of all objects."""
        return int(self._sizes.sum())

    def size(self, name: str) -> int | None:
        """Bytes of an object; None: it was not listed."""
        at = self._find(name)
        return None if at is None else int(self._sizes[at])

    def mark(self, name: str) -> None:
        """Note that something names this object; one that was not listed is nobody's candidate."""
        at = self._find(name)
        if at is not None:
            self._marked[at] = True

    def is_marked(self, name: str) -> bool:
        """Whether `mark` was called for an object that was listed."""
        at = self._find(name)
        return at is not None and bool(self._marked[at])

    def unmarked(self) -> Iterator[tuple[str, int]]:
        """Names and sizes of what nothing names, in order of name: the oldest generation first."""
        for at in np.flatnonzero(~self._marked):
            yield self._names[at].decode(), int(self._sizes[at])

    def _find(self, name: str) -> int | None:
        encoded = name.encode()
        at = int(np.searchsorted(self._names, encoded))
        return at if at < len(self._names) and self._names[at] == encoded else None


class Inventory:
    """One listing of a repository."""

    def __init__(self, files: Below) -> None:
        gathered: dict[tuple[Kind, str], _Gathered] = defaultdict(_Gathered)
        self.heads: set[str] = set()
        """Runs that have a head."""
        self.strangers: list[str] = []
        """Keys that no writer would choose. They are never touched."""
        for folder in (PACKS, RUNS):
            for key, size in files.list(folder):
                parsed = parse_key(key)
                if parsed is None:
                    self.strangers.append(key)
                elif parsed.kind is Kind.HEAD:
                    self.heads.add(parsed.run)
                else:
                    gathered[parsed.kind, parsed.run].add(parsed.name, size)
        self.folders = {place: found.folder() for place, found in sorted(gathered.items())}
        """By kind and run; packs belong to the run ""."""

    def folder(self, kind: Kind, run: str = "") -> Folder | None:
        """The folder of a kind of objects of a run; None: nothing is there."""
        return self.folders.get((kind, run))

    @property
    def headless(self) -> list[str]:
        """Runs that have manifests or pages but no head. A head is created before them: it was lost."""
        return sorted({run for _, run in self.folders if run} - self.heads)

    def __len__(self) -> int:
        return sum(map(len, self.folders.values()))

    @property
    def nbytes(self) -> int:
        """Bytes of all packs, manifests and pages."""
        return sum(folder.nbytes for folder in self.folders.values())


class _Gathered:
    def __init__(self) -> None:
        self._names, self._sizes = bytearray(), array("q")

    def add(self, name: str, size: int) -> None:
        self._names += name.encode()
        self._sizes.append(size)

    def folder(self) -> Folder:
        return Folder(self._names, self._sizes)
