"""Store a commit's content anew, without packs that are to be emptied; nothing comes to name it here.

Only chunks that lie in such a pack, or rest on what does, are stored again: alone, or as the difference from
the commit before where that stores less. All others stay where they are, under a new manifest.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from storage.checkpoints.chunks import ChunkId
from storage.checkpoints.claim import Claim
from storage.checkpoints.closure import with_bases
from storage.checkpoints.delta_policy import DeltaPolicy
from storage.checkpoints.draft import Draft
from storage.checkpoints.errors import Damaged
from storage.checkpoints.head import Commit
from storage.checkpoints.manifest import Location, Manifest
from storage.checkpoints.memory import Memory
from storage.checkpoints.pages import WholeRun
from storage.checkpoints.predicting import Predictor, Previous
from storage.checkpoints.reading import read_tensors
from storage.checkpoints.shelf import Shelf
from storage.checkpoints.state import State
from storage.checkpoints.waste import left_of, own_chunks

READ_LIMIT = DeltaPolicy().read_limit
"""Bytes that a restore may read ÷ raw bytes afterwards, unless it read more before."""


class Rewriter:
    """Rewrites commits of one run, the lowest step first."""

    def __init__(
        self,
        shelf: Shelf,
        run: str,
        whole: WholeRun,
        learned: int,
        manifests: Mapping[str, Manifest],
        emptied: Collection[str],
    ) -> None:
        """
        Args:
            shelf: the repository.
            run: whose commits.
            whole: the run, read after `learned` was listed.
            learned: the newest collection then.
            manifests: by commit.
            emptied: packs that are not to be needed any more.
        """
        self._shelf, self._run, self._whole, self._learned = shelf, run, whole, learned
        self._manifests, self._emptied = dict(manifests), emptied
        self._moved: dict[ChunkId, Location] = {}
        self._pack_bytes: dict[str, int] = {}
        for manifest in manifests.values():
            self._pack_bytes.update(manifest.packs)
        self._previous: tuple[str, Previous] | None = None

    def rewrite(self, commit: Commit, before: Commit | None) -> tuple[Commit, Manifest]:
        """The commit as the head is to name it; `before`: that of the next lower step.

        Raises:
            Damaged: what has to be read is not what its hash says.
        """
        old = self._manifests[commit.id]
        own = own_chunks(old)
        left = left_of(old, self._emptied, self._moved)
        staying = with_bases(own, left)
        if all(chunk in staying for chunk in own) and _read_bytes(staying) <= _allowed(old):
            name, size, manifest = self._point(old, staying)
            new = replace(commit, manifest=name, manifest_bytes=size, new_bytes=size)
        else:
            new, manifest = self._store(commit, old, dict(left), before)
        self._manifests[commit.id] = manifest
        self._moved.update(manifest.locations)
        self._pack_bytes.update(manifest.packs)
        return new, manifest

    def _point(self, old: Manifest, staying: Mapping[ChunkId, Location]) -> tuple[str, int, Manifest]:
        """A new manifest for chunks all of which are there; no bytes of packs are read."""
        packs = {pack: self._pack_bytes[pack] for pack in sorted({at.pack for at in staying.values()})}
        manifest = replace(old, locations=staying, packs=packs)
        return *self._shelf.write_manifest(self._run, manifest, self._learned), manifest

    def _store(
        self, commit: Commit, old: Manifest, known: dict[ChunkId, Location], before: Commit | None
    ) -> tuple[Commit, Manifest]:
        tensors, _ = read_tensors(self._shelf.files, old, None, f"{self._run}/{commit.id}")
        draft = Draft.of(tensors, old.meta, commit.step, self._shelf.identity)
        assert draft.id == commit.id
        previous = self._state_of(before)
        if previous is not None and previous.read_bytes + draft.raw_bytes > _allowed(old):
            previous = None
        if previous is not None and before is not None:
            known = {**left_of(self._manifests[before.id], self._emptied, self._moved), **known}
        name, new, manifest = self._written(draft, commit, old, known, previous)
        if _read_bytes(manifest.locations) > _allowed(old):
            alone = {chunk: at for chunk, at in known.items() if not at.bases}
            name, new, manifest = self._written(draft, commit, old, alone, None)
        self._previous = (
            commit.id,
            Previous.of(draft, (), manifest, previous, reads=_read_bytes(manifest.locations)),
        )
        return (
            replace(commit, manifest=name, manifest_bytes=new.manifest_bytes, new_bytes=new.new_bytes),
            manifest,
        )

    def _written(
        self,
        draft: Draft,
        commit: Commit,
        old: Manifest,
        known: dict[ChunkId, Location],
        previous: Previous | None,
    ) -> tuple[str, Commit, Manifest]:
        memory = Memory(
            self._whole.head, self._whole.etag, self._learned, locations=known, pack_bytes=self._pack_bytes
        )
        claim = Claim(self._shelf, self._run, old.attempt)
        predictor = Predictor(draft, (), previous)
        state = State.of(claim, memory, draft, commit.metrics, commit.tags, predictor, created=old.created)
        new = state.store()
        return new.manifest, new, state.written[new.manifest]

    def _state_of(self, before: Commit | None) -> Previous | None:
        """What differences may be stored from: read, unless it was rewritten just now."""
        if before is None or self._shelf.format == 1:
            return None
        if self._previous is not None and self._previous[0] == before.id:
            return self._previous[1]
        manifest = self._manifests[before.id]
        try:
            tensors, _ = read_tensors(self._shelf.files, manifest, None, f"{self._run}/{before.id}")
        except Damaged:
            return None  # dropped and collected meanwhile, or for `verify` to tell: nothing need rest on it
        draft = Draft.of(tensors, manifest.meta, before.step, self._shelf.identity)
        return Previous.of(draft, (), manifest, None, reads=_read_bytes(manifest.locations))


def _read_bytes(locations: Mapping[ChunkId, Location]) -> int:
    return sum(at.size for at in locations.values())


def _allowed(old: Manifest) -> float:
    """Bytes that a restore may read from now on."""
    return max(_read_bytes(old.locations), READ_LIMIT * old.raw_bytes)
