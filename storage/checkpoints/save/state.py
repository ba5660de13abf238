"""A trainer's state as the content of a commit: stored as far as the repository lacks it."""

import math
from collections.abc import Collection, Mapping
from typing import Protocol, Self

from storage.checkpoints.commits.claim import Claim
from storage.checkpoints.commits.memory import Memory
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.closure import Chain, with_bases
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.names import pack_key
from storage.checkpoints.restore.decoding import bytes_to_read
from storage.checkpoints.save.draft import Draft, Outline
from storage.checkpoints.save.predicting import Predictor
from storage.checkpoints.save.storing import Store, Stored
from storage.checkpoints.save.storing import store_alone as store_in_this_process


class StoreMissing(Protocol):
    """Stores chunks of the state, wherever their bytes are."""

    def __call__(
        self, missing: Collection[ChunkId], chains: Mapping[ChunkId, Chain], generation: int
    ) -> Stored:
        """See `storing.store_alone`."""
        ...


class State:
    """A `Content` whose bytes are in the memory of this process, or of those that store with it."""

    def __init__(
        self,
        claim: Claim,
        memory: Memory,
        outline: Outline,
        metrics: Mapping[str, float],
        tags: tuple[str, ...],
        store_missing: StoreMissing,
        earlier: Collection[ChunkId] = (),
        created: str | None = None,
        store_alone: StoreMissing | None = None,
        read_limit: float = math.inf,
    ) -> None:
        """Set up.

        Args:
            claim, memory: of the run.
            outline: what the commit will hold.
            metrics, tags: of the commit.
            store_missing: stores what the repository lacks.
            earlier: chunks that others may be predicted from, if the repository has them.
            created: when the state was first saved, if that was not now.
            store_alone: as `store_missing`, on nothing of the state before.
            read_limit: if a restore read more than this ÷ raw bytes, `store_alone` is called instead, and
                what rests on much is stored anew. Below 1: whatever it reads.
        """
        self.id = outline.id
        self.learned = memory.newest
        self.written: dict[str, Manifest] = {}
        self._claim, self._memory, self._outline = claim, memory, outline
        self._metrics, self._tags = metrics, tags
        self._store_missing, self._earlier = store_missing, earlier
        self._store_alone, self._read_limit = store_alone, read_limit
        self.reads = 0
        """Bytes that a restore of it reads."""
        self._created = created or claim.shelf.clock()
        self._uploaded: dict[str, int] = {}

    @classmethod
    def of(
        cls,
        claim: Claim,
        memory: Memory,
        draft: Draft,
        metrics: Mapping[str, float],
        tags: tuple[str, ...],
        predictor: Predictor | None = None,
        encoders: int | None = None,
        created: str | None = None,
        store_chunks: Store = store_in_this_process,
        read_limit: float = math.inf,
    ) -> Self:
        """A state whose bytes this process has."""
        offering = predictor or Predictor(draft, (), None)

        def storing(offering: Predictor) -> StoreMissing:
            def store_missing(
                missing: Collection[ChunkId], chains: Mapping[ChunkId, Chain], generation: int
            ) -> Stored:
                return store_chunks(
                    claim.shelf, draft, offering, missing, chains, generation=generation, encoders=encoders
                )

            return store_missing

        return cls(
            claim,
            memory,
            draft,
            metrics,
            tags,
            storing(offering),
            offering.earlier(),
            created,
            None if offering.step_before is None else storing(offering.alone()),
            read_limit,
        )

    def store(self) -> Commit:
        """See `Content`."""
        return self._store(self._memory.locations, self._memory.pack_bytes, self.learned)

    def store_again(self, commit: Commit, condemned: set[str], newest: int) -> Commit:
        """See `Content`. Only what lies in condemned packs, or rests on a chunk there, is stored again.

        What the memory knows to lie elsewhere by now, such as bases that were repacked, is named there.
        """
        manifest = self.written[commit.manifest]
        kept = {
            chunk: at
            for known in (manifest.locations, self._memory.locations)
            for chunk, at in known.items()
            if pack_key(at.pack) not in condemned
        }
        return self._store(kept, {**self._memory.pack_bytes, **manifest.packs}, newest)

    def _store(
        self, known: Mapping[ChunkId, Location], pack_bytes: Mapping[str, int], generation: int
    ) -> Commit:
        outline, shelf, run = self._outline, self._claim.shelf, self._claim.run
        if self._store_alone is None:
            known = self._within_limit(known)
        chains: dict[ChunkId, Chain] = {}
        usable = with_bases([*outline.sizes, *self._earlier], known, chains)
        missing = [chunk for chunk in outline.sizes if chunk not in usable]
        stored = self._store_missing(missing, chains, generation)
        packs = stored.packs
        self._uploaded.update(packs)
        locations = with_bases(outline.sizes, {**known, **stored.locations})
        self.reads = bytes_to_read({chunk: ("", size) for chunk, size in outline.sizes.items()}, locations)
        if self._store_alone is not None and self.reads > self._read_limit * outline.raw_bytes:
            self._store_missing, self._store_alone = self._store_alone, None  # more than the writer expected
            return self._store(known, pack_bytes, generation)
        needed = sorted({at.pack for at in locations.values()})
        manifest = Manifest(
            run=run,
            attempt=self._claim.attempt,
            step=outline.step,
            created=self._created,
            meta=outline.meta,
            tensors=outline.tensors,
            locations=locations,
            packs={pack: packs[pack] if pack in packs else pack_bytes[pack] for pack in needed},
            identity=shelf.identity,
        )
        name, size = shelf.write_manifest(run, manifest, generation)
        self.written[name] = manifest
        return Commit(
            id=outline.id,
            attempt=self._claim.attempt,
            step=outline.step,
            manifest=name,
            manifest_bytes=size,
            raw_bytes=outline.raw_bytes,
            new_bytes=size + sum(self._uploaded.get(pack, 0) for pack in needed),
            created=self._created,
            metrics=self._metrics,
            tags=self._tags,
        )

    def _within_limit(self, known: Mapping[ChunkId, Location]) -> Mapping[ChunkId, Location]:
        """Without what rests on other chunks, where a restore read too much beside all that is stored alone.

        A state may have shrunk to chunks that only the rest of it allowed so long chains.
        """
        sizes = self._outline.sizes
        there = {chunk: ("", size) for chunk, size in sizes.items() if chunk in known}
        alone = sum(size for chunk, size in sizes.items() if chunk not in there)
        if self._read_limit < 1 or not any(known[chunk].bases for chunk in there):
            return known
        reads = bytes_to_read(there, with_bases(there, known))
        if alone + reads <= self._read_limit * self._outline.raw_bytes:
            return known
        return {chunk: at for chunk, at in known.items() if not at.bases}
