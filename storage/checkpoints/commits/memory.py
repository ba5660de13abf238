"""What a writer remembers between saves, so that a save in the steady state reads nothing.

The rules are those of docs/checkpoint-format.md#writing: the last head it wrote, the newest collection it
knew then, and the chunks of packs that commits of that head name. Every other location is forgotten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.head import Commit, Head
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.restore.inspection import Verdict

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
    moved: Commit | None = None
    """The newest of the commits that were repacked since we learned where they lie; see `follow`."""
    _packs: dict[str, frozenset[str]] = field(default_factory=dict)
    """Packs of each manifest that we know."""
    _left: set[str] = field(default_factory=set)
    """Packs that commits needed before they were repacked."""
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
        ids = {commit.manifest: commit.id for commit in self.head.commits}
        self.head, self.etag = head, etag
        healthy = {commit.id: commit for commit in head.commits if not commit.damaged}
        gone = self._packs.keys() - {commit.manifest for commit in healthy.values()}
        if self.moved is not None:
            self.moved = healthy.get(self.moved.id)
        for name in gone:
            packs, now = self._packs.pop(name), healthy.get(ids.get(name, ""))
            if now is not None:
                self._left |= packs
                if self.moved is None or self.moved.step < now.step:
                    self.moved = now
        if gone:
            self._sift()

    def follow(self, commit: Commit, manifest: Manifest) -> None:
        """Take in the manifest that `moved` has now. What is stored since need not name its old packs."""
        self.learn(commit.manifest, manifest)
        self.moved = None

    def stay(self) -> None:
        """Where `moved` lies now cannot be learned: its old packs may be named as before."""
        self.moved = None
        self._left.clear()

    @property
    def left_behind(self) -> set[str]:
        """Packs of repacked commits that nothing we know needs any more: named again, they would not go."""
        return self._left - self.pack_bytes.keys()

    def landed(self, head: Head, etag: str, newest: int, name: str, manifest: Manifest) -> None:
        """Take in a head that we wrote, with a commit of ours, after a look at collections up to `newest`."""
        self.saw(head, etag)
        self.stay()
        self.learn(name, manifest)
        self.newest, self.settled = newest, True

    def packs_of(self, manifest: str) -> frozenset[str]:
        """Packs of a manifest, as far as we know it."""
        return self._packs.get(manifest, frozenset())

    def _sift(self) -> None:
        allowed = frozenset().union(*self._packs.values()) - self._barred
        self.locations = {chunk: at for chunk, at in self.locations.items() if at.pack in allowed}
        self.pack_bytes = {pack: size for pack, size in self.pack_bytes.items() if pack in allowed}
