"""Rank 0's side of saving together: other ranks hold the same state, and each stores a share of it.

Rank 0 alone decides what a save holds, writes the manifest and commits. Per save it sends each helper one
order and takes one answer. What a helper did not store (it has ended, the bucket does not answer it, its
replica differs) rank 0 stores itself, so a save never rests on another process being well.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from storage.checkpoints.errors import HelperFailed, RankGone
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.closure import Chain
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.save.predicting import Predictor
from storage.checkpoints.save.storing import Stored, store_alone
from storage.checkpoints.together.dividing import divide
from storage.checkpoints.together.orders import Answer, Order

WORTH_SHARING = 16 * 2**20
"""Raw bytes from which on a save is shared. One core encodes them in about 0.2 s, and each share still fills
packs of 4 MiB; of less, most would go into messages, hashing, and copies that each helper keeps in memory."""

LEADER = 0
"""The rank that commits."""


class Channel(Protocol):
    """Messages between rank 0 and each helper, in order. Nothing else may travel on it."""

    def send(self, rank: int, message: bytes) -> None:
        """Hand a message to a rank that waits for one, or will. Raises RankGone."""
        ...

    def receive(self, rank: int) -> bytes:
        """Wait for the next message of a rank. Raises RankGone."""
        ...


def worth_sharing(raw_bytes: int) -> bool:
    """Whether ranks should store so many bytes together."""
    return raw_bytes >= WORTH_SHARING


class Helpers:
    """The ranks from 1 on. Belongs to the thread that saves; `dismiss` comes after its end."""

    def __init__(
        self, channel: Channel, ranks: int, on_note: Callable[[str], None] = lambda text: None
    ) -> None:
        """`ranks`: how many there are, rank 0 included; `on_note` takes plain words about shares left."""
        self._channel, self._on_note = channel, on_note
        self._here = list(range(1, ranks))

    def store(
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
        """Store chunks together; arguments as those of `store_alone`.

        Raises:
            HelperFailed: another rank met a mistake that the user can mend.
            RuntimeError: another rank failed otherwise.
            Whatever `store_alone` does.
        """

        def alone(share: Collection[ChunkId]) -> Stored:
            return store_alone(
                shelf, draft, predictor, share, chains, generation=generation, encoders=encoders
            )

        if not self._here or not worth_sharing(sum(len(draft.chunks[chunk][1]) for chunk in chunks)):
            return alone(chunks)
        own, *others = divide(draft, predictor, chunks, 1 + len(self._here))
        asked = []
        for rank, share in zip(tuple(self._here), others, strict=True):
            if share and self._ask(rank, _order(draft, predictor, share, chains, generation)):
                asked.append(rank)
        locations: dict[ChunkId, Location] = {}
        packs: dict[str, int] = {}
        try:
            parts = [alone(own)]
        finally:  # each answer is taken, whatever failed here: the next one must be the next order's
            answers = {rank: answer for rank in asked if (answer := self._answer(rank)) is not None}
        for rank, answer in answers.items():
            _raise_failure(rank, answer)
            if answer.outage:
                self._on_note(
                    f"rank {rank} cannot reach the bucket, so rank 0 stores its share: {answer.error}"
                )
            parts.append(answer.stored)
        for part in parts:
            locations |= part.locations
            packs |= part.packs
        left = [chunk for chunk in chunks if chunk not in locations]
        if left:
            self._on_note(f"rank 0 stores {len(left)} chunks of step {draft.step} in other ranks' place")
            rest = alone(left)
            locations |= rest.locations
            packs |= rest.packs
        return Stored(locations, packs)

    def dismiss(self) -> None:
        """Let the helpers end."""
        for rank in tuple(self._here):
            self._ask(rank, b"")
        self._here = []

    def _ask(self, rank: int, message: bytes) -> bool:
        try:
            self._channel.send(rank, message)
        except RankGone:
            self._here.remove(rank)
            return False
        return True

    def _answer(self, rank: int) -> Answer | None:
        try:
            return Answer.from_bytes(self._channel.receive(rank))
        except RankGone:
            self._here.remove(rank)
            return None


def _order(
    draft: Draft,
    predictor: Predictor,
    share: Collection[ChunkId],
    chains: Mapping[ChunkId, Chain],
    generation: int,
) -> bytes:
    offered = {base for chunk in share for offer in predictor.offers(chunk) for base in offer.bases}
    order = Order(
        step=draft.step,
        before=predictor.step_before,
        generation=generation,
        chunks=share,
        chains={base: chains[base] for base in offered if base in chains},
    )
    return order.to_bytes()


def _raise_failure(rank: int, answer: Answer) -> None:
    if answer.mistake and not answer.outage:
        raise HelperFailed(f"rank {rank} could not store its share: {answer.error}")
    if answer.error and not answer.outage:
        raise RuntimeError(f"rank {rank} could not store its share:\n{answer.error}")
