"""Store chunks of a state: encode each beside what it may be predicted from, and upload packs of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.closure import Chain
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.save.delta_policy import chain_limit
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.save.packs import Job, PackWriter
from storage.checkpoints.save.predicting import Predictor


@dataclass(frozen=True, slots=True)
class Stored:
    """Where chunks lie from now on."""

    locations: Mapping[ChunkId, Location]
    packs: Mapping[str, int]
    """Bytes of each new pack, all of which are durable."""


class Store(Protocol):
    """Stores chunks of a state: `store_alone`, or with the help of other ranks."""

    def __call__(
        self,
        shelf: Shelf,
        draft: Draft,
        predictor: Predictor,
        chunks: Collection[ChunkId],
        chains: Mapping[ChunkId, Chain],
        *,
        generation: int,
        encoders: int | None,
    ) -> Stored:
        """See `store_alone`."""
        ...


def store_alone(
    shelf: Shelf,
    draft: Draft,
    predictor: Predictor,
    chunks: Collection[ChunkId],
    chains: Mapping[ChunkId, Chain],
    *,
    generation: int,
    encoders: int | None,
) -> Stored:
    """Store chunks in this process.

    Args:
        shelf: where.
        draft: the state.
        predictor: says what its chunks may be predicted from.
        chunks: those to store.
        chains: below each chunk that lies in the repository already.
        generation: newest collection that is known; it goes into the names of packs.
        encoders: threads that encode; None: one for each core, four at most.
    """
    located: dict[ChunkId, Location] = {}
    wanted, below = set(chunks), dict(chains)
    if not wanted:
        return Stored(located, {})

    def job(chunk: ChunkId, stage: int) -> Job:
        """With those offers whose bases are there already: so no circle can come about."""
        offers = (it for it in predictor.offers(chunk) if all(base in below for base in it.bases))
        longest = chain_limit(len(draft.chunks[chunk][1]), stage)
        near = tuple(it for it in offers if max(below[base].links for base in it.bases) < longest)
        reads = tuple(0 if it.bases[0] in draft.chunks else below[it.bases[0]].read_bytes for it in near)
        return Job(chunk, *draft.chunks[chunk], near, reads)

    writer = PackWriter(
        shelf.files,
        lambda: shelf.new_name(generation),
        raw_bytes=sum(len(draft.chunks[chunk][1]) for chunk in wanted),
        format_=shelf.format,
        identity=shelf.identity,
        encoders=encoders,
    )
    with writer:
        for stage, those in enumerate(predictor.stages()):
            stored = writer.store([job(chunk, stage) for chunk in those if chunk in wanted])
            for chunk, at in stored.items():
                below[chunk] = Chain.of(at, below)
            located |= stored
    return Stored(located, writer.packs)
