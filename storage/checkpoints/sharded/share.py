"""What one rank holds of a state's chunks; it gives pieces to their owners, and gets those of its own.

Chunks go in *rounds* of at most `ROUND` raw bytes of the whole state, the same on all ranks: that bounds what
a rank holds beside its shards. Who has nothing to give or take in a round does not wait for the others.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from storage.checkpoints.errors import RankGone
from storage.checkpoints.format.chunks import cut
from storage.checkpoints.format.stored_tensor import INLINE_LIMIT
from storage.checkpoints.sharded.boxes import Box, chunk_box
from storage.checkpoints.sharded.group import Group
from storage.checkpoints.sharded.layout import Told
from storage.checkpoints.sharded.shard import Shard
from storage.checkpoints.tensor import DTYPES, Buffer, raw_bytes

ROUND = 16 * 2**20
"""Raw bytes: enough to keep some encoders busy."""

Place = tuple[str, int]
"""A chunk by its tensor and number."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of a rank's tensors."""

    shards: Sequence[Shard]
    """Of one tensor; none is empty."""
    told: Told


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk that a rank owns, with its bytes: valid until the next round."""

    place: Place
    dtype: str
    raw: memoryview
    inline: bool
    """It is a whole tensor that needs no chunk."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A chunk of which this rank holds something."""

    part: Part
    number: int
    size: int
    box: Box
    round: int

    @property
    def shard(self) -> Shard:
        return self.part.shards[0]


class Share:
    """Of one rank, in one save."""

    def __init__(self, group: Group, parts: Sequence[Part]) -> None:
        """`parts` in the order of tensor names."""
        self._group, self._parts = group, parts

    def chunks(self, wanted: Collection[Place] | None = None) -> Iterator[list[Chunk]]:
        """The chunks that this rank owns, in rounds. All ranks must go through theirs, to the end.

        Args:
            wanted: only these; all holders of a chunk must agree. None: all.

        Raises:
            RankGone: in the end, as the other ranks wait for what this one gives them in later rounds.
        """
        gone: RankGone | None = None
        for _, pieces in groupby(self._pieces(wanted), key=lambda it: it.round):
            try:
                chunks = self._gathered(list(pieces))
            except RankGone as error:
                gone = error
            if gone is None:
                yield chunks
        if gone is not None:
            raise gone

    def owns(self, piece: _Piece) -> bool:
        """Whether this rank stores it."""
        return piece.part.told.owners.get(piece.number, self._group.rank) == self._group.rank

    def owned_bytes(self, wanted: Collection[Place]) -> int:
        """Raw bytes of those of `wanted` that this rank owns."""
        return sum(piece.size for piece in self._pieces(wanted) if self.owns(piece))

    def _pieces(self, wanted: Collection[Place] | None) -> Iterator[_Piece]:
        for part in self._parts:
            first = part.shards[0]
            sizes = list(cut(first.dtype, first.shape))
            begins = [0]
            for size in sizes:
                begins.append(begins[-1] + size)
            width = DTYPES[first.dtype]
            for number in _touched(part.shards, begins, width):
                if wanted is None or (first.tensor, number) in wanted:
                    begin, size = begins[number], sizes[number]
                    box = chunk_box(first.shape, begin // width, size // width)
                    if any(shard.box.overlap(box) is not None for shard in part.shards):
                        yield _Piece(part, number, size, box, (part.told.begin + begin) // ROUND)

    def _gathered(self, pieces: list[_Piece]) -> list[Chunk]:
        outgoing: dict[int, list[Buffer]] = defaultdict(list)
        incoming: dict[int, int] = defaultdict(int)
        for piece in pieces:
            if not self.owns(piece):
                outgoing[piece.part.told.owners[piece.number]] += [raw for _, raw in _own(piece)]
            for rank, box in self._elsewhere(piece):
                incoming[rank] += box.elements * DTYPES[piece.shard.dtype]
        received = self._group.exchange(outgoing, incoming) if outgoing or incoming else {}
        taken: dict[int, int] = defaultdict(int)
        chunks = []
        for piece in pieces:
            if self.owns(piece):
                parts = list(_own(piece))
                for rank, box in self._elsewhere(piece):
                    begin = taken[rank]
                    taken[rank] += box.elements * DTYPES[piece.shard.dtype]
                    parts.append((box, received[rank][begin : taken[rank]]))
                chunks.append(_joined(piece, parts))
        return chunks

    def _elsewhere(self, piece: _Piece) -> Iterator[tuple[int, Box]]:
        """What other ranks hold of a chunk that this one owns, in the order in which they send it."""
        for rank, box in piece.part.told.holders.get(piece.number, ()):
            overlap = box.overlap(piece.box)
            if rank != self._group.rank and overlap is not None:
                yield rank, overlap


def _touched(shards: Sequence[Shard], begins: list[int], width: int) -> list[int]:
    """Numbers of the chunks that may lie in the shards, each once."""
    numbers: set[int] = set()
    for shard in shards:
        low, high = (bisect_right(begins, at * width) - 1 for at in shard.box.ends(shard.shape))
        numbers.update(range(low, high + 1))
    return sorted(numbers)


def _own(piece: _Piece) -> Iterator[tuple[Box, memoryview]]:
    """What this rank holds of a chunk, in the order of boxes."""
    for shard in sorted(piece.part.shards, key=lambda it: it.box):
        overlap = shard.box.overlap(piece.box)
        if overlap is not None:
            yield overlap, shard.read(overlap)


def _joined(piece: _Piece, parts: list[tuple[Box, memoryview]]) -> Chunk:
    """The chunk; its parts make it up, as the leader has made sure."""
    shard = piece.shard
    place, whole = (shard.tensor, piece.number), raw_bytes(shard.dtype, shard.shape)
    inline = whole <= INLINE_LIMIT
    if len(parts) == 1 and parts[0][0] == piece.box:
        return Chunk(place, shard.dtype, parts[0][1], inline)
    width = DTYPES[shard.dtype]
    joined = np.empty((*piece.box.sizes, width), np.uint8)
    for box, raw in parts:
        joined[box.within(piece.box)] = np.frombuffer(raw, np.uint8).reshape((*box.sizes, width))
    return Chunk(place, shard.dtype, joined.reshape(-1).data, inline)
