"""Divide the chunks of a state among the ranks that store it."""

from collections.abc import Collection

from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.closure import families
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.save.predicting import Predictor


def divide(
    draft: Draft, predictor: Predictor, chunks: Collection[ChunkId], ranks: int
) -> list[list[ChunkId]]:
    """One share per rank, of about as many bytes each; the same ones for the same state.

    Chunks of which one may be predicted from the other (a weight from its moments) stay together, so that
    no rank waits for another. Shares follow the order of the state's tensors, so that few of these lie in
    packs of two ranks.
    """
    wanted = set(chunks)
    bases: dict[ChunkId, list[ChunkId]] = {}
    for stage in predictor.stages():
        for chunk in stage:
            if chunk in wanted:
                offered = {base for offer in predictor.offers(chunk) for base in offer.bases}
                bases[chunk] = [base for base in offered if base in bases]
    place = {chunk: number for number, chunk in enumerate(draft.chunks)}
    sizes = {chunk: len(draft.chunks[chunk][1]) for chunk in wanted}
    total, before = sum(sizes.values()), 0
    shares: list[list[ChunkId]] = [[] for _ in range(ranks)]
    for family in sorted(families(bases), key=lambda them: min(place[chunk] for chunk in them)):
        size = sum(sizes[chunk] for chunk in family)
        middle = 2 * before + size  # in halves of a byte
        shares[middle * ranks // (2 * total)] += family
        before += size
    return shares
