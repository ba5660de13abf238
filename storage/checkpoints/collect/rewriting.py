"""Store a commit's content anew, without packs that are to be emptied; nothing comes to name it here.

Only chunks that lie in such a pack, or rest on what does, are stored again: alone, or as the difference from
the commit before where that stores less. All others stay where they are, under a new manifest.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from storage.checkpoints.collect.sharing import Sharer
from storage.checkpoints.collect.waste import elsewhere, left_of, own_chunks
from storage.checkpoints.commits.claim import Claim
from storage.checkpoints.commits.memory import Memory
from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.closure import with_bases
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.restore.reading import read_tensors
from storage.checkpoints.save.delta_policy import DeltaPolicy
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.save.predicting import Predictor, Previous
from storage.checkpoints.save.state import State

READ_LIMIT = DeltaPolicy().read_limit
"""Bytes that a restore may read ÷ raw bytes afterwards, unless it read more before."""


class Rewriter:
    """Rewrites commits of some runs: one run after the other, the lowest step first."""

    def __init__(
        self,
        shelf: Shelf,
        sharers: Sequence[Sharer],
        learned: int,
        emptied: Collection[str],
        barred: Collection[str] = (),
    ) -> None:
        """
        Args:
            shelf: the repository.
            sharers: the runs with the commits that may have to be rewritten, read after `learned` was listed.
            learned: the newest collection then.
            emptied: packs that are not to be needed any more.
            barred: packs that nothing is to be moved to.
        """
        self._shelf, self._learned, self._emptied = shelf, learned, emptied
        self._manifests: dict[tuple[str, str], Manifest] = {}
        self._before: dict[tuple[str, str], Commit] = {}
        self._pack_bytes: dict[str, int] = {}
        for sharer in sharers:
            for identity, manifest in sharer.manifests.items():
                self._manifests[sharer.run, identity] = manifest
                self._pack_bytes.update(manifest.packs)
            for before, commit in pairwise(sharer.commits):
                self._before[sharer.run, commit.id] = before
        spared = frozenset[str]().union(*(sharer.spared for sharer in sharers))
        self._moved = elsewhere(self._manifests.values(), emptied, {*spared, *barred})
        self._previous: tuple[tuple[str, str], Previous] | None = None

    def rewrite(self, sharer: Sharer, commit: Commit) -> tuple[Commit, Manifest]:
        """The commit as its head is to name it.

        Raises:
            Damaged: what has to be read is not what its hash says.
        """
        old = self._manifests[sharer.run, commit.id]
        own = own_chunks(old)
        left = left_of(old, self._emptied, self._moved)
        staying = with_bases(own, left)
        if all(chunk in staying for chunk in own) and _read_bytes(staying) <= _allowed(old):
            name, size, manifest = self._point(sharer.run, old, staying)
            new = replace(commit, manifest=name, manifest_bytes=size, new_bytes=size)
        else:
            new, manifest = self._store(sharer, commit, old, dict(left))
        self._manifests[sharer.run, commit.id] = manifest
        self._moved.update(manifest.locations)
        self._pack_bytes.update(manifest.packs)
        return new, manifest

    def _point(
        self, run: str, old: Manifest, staying: Mapping[ChunkId, Location]
    ) -> tuple[str, int, Manifest]:
        """A new manifest for chunks all of which are there; no bytes of packs are read."""
        packs = {pack: self._pack_bytes[pack] for pack in sorted({at.pack for at in staying.values()})}
        manifest = replace(old, locations=staying, packs=packs)
        return *self._shelf.write_manifest(run, manifest, self._learned), manifest

    def _store(
        self, sharer: Sharer, commit: Commit, old: Manifest, known: dict[ChunkId, Location]
    ) -> tuple[Commit, Manifest]:
        run, before = sharer.run, self._before.get((sharer.run, commit.id))
        tensors, _ = read_tensors(self._shelf.files, old, None, f"{run}/{commit.id}")
        draft = Draft.of(tensors, old.meta, commit.step, self._shelf.identity)
        assert draft.id == commit.id
        previous = self._state_of(run, before)
        if previous is not None and previous.read_bytes + draft.raw_bytes > _allowed(old):
            previous = None
        if previous is not None and before is not None:
            known = {**left_of(self._manifests[run, before.id], self._emptied, self._moved), **known}
        name, new, manifest = self._written(draft, sharer, commit, old, known, previous)
        if _read_bytes(manifest.locations) > _allowed(old):
            alone = {chunk: at for chunk, at in known.items() if not at.bases}
            name, new, manifest = self._written(draft, sharer, commit, old, alone, None)
        self._previous = (
            (run, commit.id),
            Previous.of(draft, (), manifest, previous, reads=_read_bytes(manifest.locations)),
        )
        return (
            replace(commit, manifest=name, manifest_bytes=new.manifest_bytes, new_bytes=new.new_bytes),
            manifest,
        )

    def _written(
        self,
        draft: Draft,
        sharer: Sharer,
        commit: Commit,
        old: Manifest,
        known: dict[ChunkId, Location],
        previous: Previous | None,
    ) -> tuple[str, Commit, Manifest]:
        whole = sharer.whole
        memory = Memory(whole.head, whole.etag, self._learned, locations=known, pack_bytes=self._pack_bytes)
        claim = Claim(self._shelf, sharer.run, old.attempt)
        predictor = Predictor(draft, (), previous)
        state = State.of(claim, memory, draft, commit.metrics, commit.tags, predictor, created=old.created)
        new = state.store()
        return new.manifest, new, state.written[new.manifest]

    def _state_of(self, run: str, before: Commit | None) -> Previous | None:
        """What differences may be stored from: read, unless it was rewritten just now."""
        if before is None or self._shelf.format == 1:
            return None
        if self._previous is not None and self._previous[0] == (run, before.id):
            return self._previous[1]
        manifest = self._manifests[run, before.id]
        try:
            tensors, _ = read_tensors(self._shelf.files, manifest, None, f"{run}/{before.id}")
        except Damaged:
            return None  # dropped and collected meanwhile, or for `verify` to tell: nothing need rest on it
        draft = Draft.of(tensors, manifest.meta, before.step, self._shelf.identity)
        return Previous.of(draft, (), manifest, None, reads=_read_bytes(manifest.locations))


def _read_bytes(locations: Mapping[ChunkId, Location]) -> int:
    return sum(at.size for at in locations.values())


def _allowed(old: Manifest) -> float:
    """Bytes that a restore may read from now on."""
    return max(_read_bytes(old.locations), READ_LIMIT * old.raw_bytes)
