"""A trainer's state as the content of a commit: stored as far as the repository lacks it."""

from collections.abc import Mapping

from storage.checkpoints.chunks import ChunkId
from storage.checkpoints.claim import Claim
from storage.checkpoints.closure import with_bases
from storage.checkpoints.delta_policy import chain_limit
from storage.checkpoints.draft import Draft
from storage.checkpoints.head import Commit
from storage.checkpoints.manifest import Location, Manifest
from storage.checkpoints.memory import Memory
from storage.checkpoints.names import pack_key
from storage.checkpoints.packs import Job, PackWriter
from storage.checkpoints.predicting import Predictor


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
    ) -> None:
        """`created`: when the state was first saved, if that was not now."""
        self.id = draft.id
        self.learned = memory.newest
        self.written: dict[str, Manifest] = {}
        self._claim, self._memory, self._draft = claim, memory, draft
        self._metrics, self._tags = metrics, tags
        self._predictor = predictor or Predictor(draft, (), None)
        self._encoders = encoders
        self._format = claim.shelf.format
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
        located, packs = self._store_missing(known, generation)
        self._uploaded |= packs
        locations = with_bases(draft.chunks, {**known, **located})
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

    def _store_missing(
        self, known: Mapping[ChunkId, Location], generation: int
    ) -> tuple[dict[ChunkId, Location], dict[str, int]]:
        """Store what is not known to lie anywhere; where, and the bytes of the new packs."""
        draft, shelf, predictor = self._draft, self._claim.shelf, self._predictor
        depths: dict[ChunkId, int] = {}
        usable = with_bases([*draft.chunks, *predictor.earlier()], known, depths)
        missing = {chunk for chunk in draft.chunks if chunk not in usable}
        located: dict[ChunkId, Location] = {}
        if not missing:
            return located, {}

        def job(chunk: ChunkId, stage: int) -> Job:
            """With those offers whose bases are there already: so no circle can come about."""
            offers = (it for it in predictor.offers(chunk) if all(base in depths for base in it.bases))
            longest = chain_limit(len(draft.chunks[chunk][1]), stage)
            near = tuple(it for it in offers if max(depths[base] for base in it.bases) < longest)
            return Job(chunk, *draft.chunks[chunk], near)

        raw_bytes = sum(len(draft.chunks[chunk][1]) for chunk in missing)
        writer = PackWriter(
            shelf.files,
            lambda: shelf.new_name(generation),
            raw_bytes=raw_bytes,
            format_=self._format,
            identity=shelf.identity,
            encoders=self._encoders,
        )
        with writer:
            for stage, chunks in enumerate(predictor.stages()):
                stored = writer.store([job(chunk, stage) for chunk in chunks if chunk in missing])
                for chunk, at in stored.items():
                    depths[chunk] = max((depths[base] + 1 for base in at.bases), default=0)
                located |= stored
        return located, writer.packs
