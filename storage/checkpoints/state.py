"""A trainer's state as the content of a commit: stored as far as the repository lacks it."""

from collections.abc import Mapping

from storage.checkpoints.chunks import ChunkId
from storage.checkpoints.claim import Claim
from storage.checkpoints.closure import with_bases
from storage.checkpoints.draft import Draft
from storage.checkpoints.head import Commit
from storage.checkpoints.manifest import Location, Manifest
from storage.checkpoints.memory import Memory
from storage.checkpoints.names import pack_key
from storage.checkpoints.predicting import Predictor
from storage.checkpoints.storing import Store, Stored, store_alone


class State:
    """A `Content` whose bytes are in this process's memory."""

    def __init__(
        self,
        claim: Claim,
        memory: Memory,
        draft: Draft,
        metrics: Mapping[str, float],
        tags: tuple[str, ...],
        predictor: Predictor | None = None,
        encoders: int | None = None,
        created: str | None = None,
        store_chunks: Store = store_alone,
    ) -> None:
        """`created`: when the state was first saved, if that was not now."""
        self.id = draft.id
        self.learned = memory.newest
        self.written: dict[str, Manifest] = {}
        self._claim, self._memory, self._draft = claim, memory, draft
        self._metrics, self._tags = metrics, tags
        self._predictor = predictor or Predictor(draft, (), None)
        self._encoders, self._store_chunks = encoders, store_chunks
        self._created = created or claim.shelf.clock()
        self._uploaded: dict[str, int] = {}

    def store(self) -> Commit:
        """See `Content`."""
        return self._store(self._memory.locations, self._memory.pack_bytes, self.learned)

    def store_again(self, commit: Commit, condemned: set[str], newest: int) -> Commit:
        """See `Content`. Only what lies in condemned packs, or rests on a chunk there, is stored again."""
        manifest = self.written[commit.manifest]
        kept = {chunk: at for chunk, at in manifest.locations.items() if pack_key(at.pack) not in condemned}
        return self._store(kept, manifest.packs, newest)

    def _store(
        self, known: Mapping[ChunkId, Location], pack_bytes: Mapping[str, int], generation: int
    ) -> Commit:
        draft, shelf, run = self._draft, self._claim.shelf, self._claim.run
        stored = self._store_missing(known, generation)
        packs = stored.packs
        self._uploaded.update(packs)
        locations = with_bases(draft.chunks, {**known, **stored.locations})
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
            identity=shelf.identity,
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

    def _store_missing(self, known: Mapping[ChunkId, Location], generation: int) -> Stored:
        """Store what is not known to lie anywhere."""
        draft, predictor = self._draft, self._predictor
        depths: dict[ChunkId, int] = {}
        usable = with_bases([*draft.chunks, *predictor.earlier()], known, depths)
        missing = [chunk for chunk in draft.chunks if chunk not in usable]
        return self._store_chunks(
            self._claim.shelf,
            draft,
            predictor,
            missing,
            depths,
            generation=generation,
            encoders=self._encoders,
        )
