"""One rank's part of a save: it hashes the chunks that it owns, and stores those that the leader orders."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.checkpoints.codecs import Prediction
from storage.checkpoints.format.chunks import ChunkId, chunk_id
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.save.delta_policy import chain_limit
from storage.checkpoints.save.packs import Job, PackWriter
from storage.checkpoints.save.predicting import Offer
from storage.checkpoints.save.storing import Stored
from storage.checkpoints.sharded.group import Group
from storage.checkpoints.sharded.messages import Hashes, Order, Plan
from storage.checkpoints.sharded.shard import Shard
from storage.checkpoints.sharded.share import Chunk, Part, Place, Share

_PACKED = 64 * 2**20
"""Packs hold a quarter of what a rank stores, and of no more than this: five are in memory at once."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A chunk of the last save."""

    chunk: ChunkId
    dtype: str
    raw: bytes


class Owner:
    """Of one rank, for all saves of a run: it keeps what it has stored, to predict the next save from."""

    def __init__(self, shelf: Shelf, group: Group, *, keeps: bool, encoders: int | None) -> None:
        """`keeps` no more than one copy of the chunks that this rank owns; if False, nothing."""
        self._shelf, self._group, self._keeps, self._encoders = shelf, group, keeps, encoders
        self._kept: dict[Place, _Kept] = {}
        self._ids: dict[Place, ChunkId] = {}
        self._share = Share(group, ())

    def begin(self, shards: Sequence[Shard], plan: Plan) -> Hashes:
        """Hash what this rank owns; all ranks must do so at once. Raises ValueError."""
        by_name: dict[str, list[Shard]] = {}
        for shard in sorted(shards, key=lambda it: it.tensor):
            if shard.box.elements:
                by_name.setdefault(shard.tensor, []).append(shard)
        self._share = Share(self._group, [Part(them, plan.tensors[it]) for it, them in by_name.items()])
        self._ids, inline = {}, {}
        for chunks in self._share.chunks():
            for chunk in chunks:
                self._ids[chunk.place] = chunk_id(chunk.dtype, chunk.raw, self._shelf.identity)
                if chunk.inline:
                    inline[chunk.place[0]] = bytes(chunk.raw)
        return Hashes(self._ids, inline)

    def carry_out(self, order: Order) -> Stored:
        """Store what is ordered and owned by this rank, give the rest; all ranks must do so at once.

        Raises what storing has failed of, once the other ranks have got what they need.
        """
        wanted = frozenset(order.places)
        located: dict[ChunkId, Location] = {}
        writer = PackWriter(
            self._shelf.files,
            lambda: self._shelf.new_name(order.generation),
            raw_bytes=min(self._share.owned_bytes(wanted), _PACKED),
            format_=self._shelf.format,
            identity=self._shelf.identity,
            encoders=self._encoders,
        )
        failed: Exception | None = None
        with writer:
            for chunks in self._share.chunks(wanted):
                try:
                    if failed is None:
                        located |= writer.store([self._job(chunk, order) for chunk in chunks])
                        self._keep(chunks)
                except Exception as error:  # noqa: BLE001 - raised below: others wait for the next rounds
                    failed = error
            if failed is not None:
                raise failed
        return Stored(located, writer.packs)

    def end(self) -> None:
        """Forget the shards, and what the next save cannot be predicted from."""
        self._share = Share(self._group, ())
        self._kept = {place: it for place, it in self._kept.items() if self._ids.get(place) == it.chunk}

    def _job(self, chunk: Chunk, order: Order) -> Job:
        before = self._kept.get(chunk.place)
        offers: tuple[Offer, ...] = ()
        reads: tuple[int, ...] = ()
        if before is not None and before.chunk != self._ids[chunk.place]:
            chain = order.chains.get(before.chunk)
            same = (before.dtype, len(before.raw)) == (chunk.dtype, len(chunk.raw))
            if same and chain is not None and chain.links < chain_limit(len(chunk.raw), 0):
                prediction = Prediction("difference", (before.raw,))
                offers, reads = (Offer(prediction, (before.chunk,)),), (chain.read_bytes,)
        return Job(self._ids[chunk.place], chunk.dtype, chunk.raw, offers, reads)

    def _keep(self, chunks: Sequence[Chunk]) -> None:
        if self._keeps:
            for chunk in chunks:
                self._kept[chunk.place] = _Kept(self._ids[chunk.place], chunk.dtype, bytes(chunk.raw))
