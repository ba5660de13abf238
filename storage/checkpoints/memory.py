"""What a writer remembers between saves, so that a save in the steady state reads nothing.

The rules are those of docs/checkpoint-format.md#writing: the last head it wrote, the newest collection it
knew then, and the chunks of packs that commits of that head name. Every other location is forgotten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from storage.checkpoints.chunks import ChunkId
from storage.checkpoints.head import Head
from storage.checkpoints.inspection import Verdict
from storage.checkpoints.manifest import Location, Manifest

LOCATIONS_LIMIT = 250_000
"""Chunks remembered (about 100 MB); beyond that only those of the newest commit."""


@dataclass(slots=True)
class Memory:
    """Belongs to one writer."""

    head: Head
    etag: str
    newest: int
    """The collection from which on lists must be looked at for what is reused."""
    settled: bool = False
    """`head` is what we wrote last, after a look at collections up to `newest`; nothing was lost since."""
    locations: dict[ChunkId, Location] = field(default_factory=dict)
    """Where chunks lie that need not be stored again; a base that one is predicted from may be missing."""
    pack_bytes: dict[str, int] = field(default_factory=dict)
    """Of every pack in `locations`."""
    _packs: dict[str, frozenset[str]] = field(default_factory=dict)
    """Packs of each manifest that we know."""
    _barred: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, head: Head, etag: str, newest: int, verdicts: Sequence[Verdict]) -> Self:
        """What may be reused after a look at commits, newest first, before which collections were listed."""
        memory = cls(head, etag, newest)
        for verdict in verdicts:
            if verdict.manifest is not None and verdict.trouble:
                memory.bar(verdict.manifest.packs)
        for verdict in reversed(verdicts):
            if verdict.manifest is not None and not verdict.trouble:
                memory.learn(verdict.commit.manifest, verdict.manifest)
        return memory

    def learn(self, name: str, manifest: Manifest) -> None:
        """Take in the chunks of a manifest that a head names undamaged."""
        if len(self.locations) + len(manifest.locations) > LOCATIONS_LIMIT:
            self.locations, self.pack_bytes, self._packs = {}, {}, {}
        self.locations.update(
            (chunk, at) for chunk, at in manifest.locations.items() if at.pack not in self._barred
        )
        self.pack_bytes.update(manifest.packs)
        self._packs[name] = frozenset(manifest.packs)

    def bar(self, packs: Iterable[str]) -> None:
        """Never reuse these: a damaged commit names them."""
        self._barred.update(packs)
        self._sift()

    def saw(self, head: Head, etag: str) -> None:
        """Take in a newer head, and forget what it does not name any more."""
        self.head, self.etag = head, etag
        named = {commit.manifest for commit in head.commits if not commit.damaged}
        gone = self._packs.keys() - named
        for name in gone:
            del self._packs[name]
        if gone:
            self._sift()

    def packs_of(self, manifest: str) -> frozenset[str]:
        """Packs of a manifest, as far as we know it."""
        return self._packs.get(manifest, frozenset())

    def _sift(self) -> None:
        allowed = frozenset().union(*self._packs.values()) - self._barred
        self.locations = {chunk: at for chunk, at in self.locations.items() if at.pack in allowed}
        self.pack_bytes = {pack: size for pack, size in self.pack_bytes.items() if pack in allowed}
