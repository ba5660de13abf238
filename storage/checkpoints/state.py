"""A trainer's state as the content of a commit: stored as far as the repository lacks it."""

from collections.abc import Mapping

from storage.checkpoints.chunks import ChunkId
from storage.checkpoints.claim import Claim
from storage.checkpoints.draft import Draft
from storage.checkpoints.head import Commit
from storage.checkpoints.manifest import Location, Manifest
from storage.checkpoints.memory import Memory
from storage.checkpoints.names import pack_key
from storage.checkpoints.packs import store_chunks


class State:
    """A `Content` whose bytes are in this process's memory."""

    def __init__(
        self,
        claim: Claim,
        memory: Memory,
        draft: Draft,
        metrics: Mapping[str, float],
        tags: tuple[str, ...],
    ) -> None:
        self.id = draft.id
        self.learned = memory.newest
        self.written: dict[str, Manifest] = {}
        self._claim, self._memory, self._draft = claim, memory, draft
        self._metrics, self._tags = metrics, tags
        self._created = claim.shelf.clock()
        self._uploaded: dict[str, int] = {}

    def store(self) -> Commit:
        """See `Content`."""
        return self._store(self._memory.reusable(self._draft.chunks), self._memory.pack_bytes, self.learned)

    def store_again(self, commit: Commit, condemned: set[str], newest: int) -> Commit:
        """See `Content`. Only chunks of condemned packs are stored again."""
        manifest = self.written[commit.manifest]
        kept = {chunk: at for chunk, at in manifest.locations.items() if pack_key(at.pack) not in condemned}
        return self._store(kept, manifest.packs, newest)

    def _store(
        self, reused: Mapping[ChunkId, Location], pack_bytes: Mapping[str, int], generation: int
    ) -> Commit:
        draft, shelf, run = self._draft, self._claim.shelf, self._claim.run
        missing = {chunk: source for chunk, source in draft.chunks.items() if chunk not in reused}
        stored, packs = store_chunks(shelf.files, missing, lambda: shelf.new_name(generation))
        self._uploaded |= packs
        locations = {chunk: stored.get(chunk) or reused[chunk] for chunk in draft.chunks}
        needed = sorted({at.pack for at in locations.values()})
        manifest = Manifest(
            run=run,
            attempt=self._claim.attempt,
            step=draft.step,
            created=self._created,
            meta=draft.meta,
            tensors=draft.tensors,
            locations=locations,
            packs={pack: packs[pack] if pack in packs else pack_bytes[pack] for pack in needed},
        )
        name, size = shelf.write_manifest(run, manifest, generation)
        self.written[name] = manifest
        return Commit(
            id=draft.id,
            attempt=self._claim.attempt,
            step=draft.step,
            manifest=name,
            manifest_bytes=size,
            raw_bytes=draft.raw_bytes,
            new_bytes=size + sum(self._uploaded.get(pack, 0) for pack in needed),
            created=self._created,
            metrics=self._metrics,
            tags=self._tags,
        )
