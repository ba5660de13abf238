"""Which rank holds what of a state, and which of the holders of a chunk owns it: known to the leader alone.

Cost: some microseconds for each chunk and holder; a state of 1 TB in shards of rows has 10^6 of them.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from storage.checkpoints.format.chunks import cut
from storage.checkpoints.sharded.boxes import Box, chunk_box
from storage.checkpoints.sharded.shard import Shard
from storage.checkpoints.tensor import DTYPES, check_geometry, raw_bytes

Holders = tuple[tuple[int, Box], ...]
"""Ranks that hold some of a chunk, and the boxes of the tensor that they hold; sorted."""


@dataclass(slots=True)
class Held:
    """A tensor as ranks have told of it."""

    dtype: str
    shape: tuple[int, ...]
    boxes: list[tuple[int, Box]] = field(default_factory=list)
    """By rank; empty ones left out."""
    begin: int = 0
    """Raw bytes of all tensors before this one, in the order of names."""

    @property
    def nbytes(self) -> int:
        """Raw bytes of the whole tensor."""
        return raw_bytes(self.dtype, self.shape)


@dataclass(frozen=True, slots=True)
class Shared:
    """A chunk that lies on several ranks."""

    number: int
    owner: int
    holders: Holders


@dataclass(frozen=True, slots=True)
class Told:
    """What a rank that holds some of a tensor is told of it."""

    begin: int
    """Raw bytes of the state before the tensor."""
    owners: dict[int, int]
    """Of chunks that lie on other ranks too, by number."""
    holders: dict[int, Holders]
    """Of those that this rank owns."""


class Layout:
    """Of one save."""

    def __init__(self, tensors: Mapping[str, Held]) -> None:
        """`tensors` by name. Raises ValueError: their boxes do not make them up."""
        self.tensors = {name: tensors[name] for name in sorted(tensors)}
        self.shared: dict[str, list[Shared]] = {}
        """By tensor, in the order of chunks."""
        self._spans: dict[str, list[tuple[int, int, int]]] = {}
        self._loads: dict[int, int] = defaultdict(int)
        several: dict[str, dict[int, Holders]] = {}
        begin = 0
        for name, tensor in self.tensors.items():
            check_geometry(tensor.dtype, tensor.shape, None)
            tensor.begin, begin = begin, begin + tensor.nbytes
            several[name] = self._sort_out(name, tensor)
        for name, chunks in several.items():
            sizes = list(cut(self.tensors[name].dtype, self.tensors[name].shape))
            self.shared[name] = [
                Shared(number, self._owner(holders, sizes[number]), holders)
                for number, holders in sorted(chunks.items())
            ]

    def part_of(self, name: str) -> dict[int, "Told"]:
        """What each rank that holds some of a tensor must know of the others."""
        begin = self.tensors[name].begin
        told = {rank: Told(begin, {}, {}) for rank, _ in self.tensors[name].boxes}
        for chunk in self.shared[name]:
            for rank in ranks_of(chunk.holders):
                told[rank].owners[chunk.number] = chunk.owner
            told[chunk.owner].holders[chunk.number] = chunk.holders
        return told

    def holders_of(self, name: str, numbers: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
        """For each box of a tensor its rank, and which of some chunks (sorted) may lie in it."""
        for rank, first, last in self._spans[name]:
            those = numbers[bisect_left(numbers, first) : bisect_right(numbers, last)]
            if those:
                yield rank, those

    def _sort_out(self, name: str, tensor: Held) -> dict[int, Holders]:
        """The chunks that lie on several ranks, with their holders; counts what each rank holds alone."""
        width, starts, begin = DTYPES[tensor.dtype], [], 0
        sizes = list(cut(tensor.dtype, tensor.shape))
        for size in sizes:
            starts.append(begin // width)
            begin += size
        held: list[list[tuple[int, Box]]] = [[] for _ in sizes]
        covered = [0] * len(sizes)
        chunks = [chunk_box(tensor.shape, at, size // width) for at, size in zip(starts, sizes, strict=True)]
        spans = []
        for rank, box in sorted(tensor.boxes):
            low, high = (bisect_right(starts, at) - 1 for at in box.ends(tensor.shape))
            spans.append((rank, low, high))
            for number in range(low, high + 1):
                overlap = box.overlap(chunks[number])
                if overlap is not None:
                    held[number].append((rank, box))
                    covered[number] += overlap.elements
        for number, elements in enumerate(covered):
            if elements != chunks[number].elements:
                raise ValueError(
                    f"the shards of {name!r} hold {elements} of {chunks[number].elements} elements of its"
                    f" chunk {number}: each part must be there, and once"
                )
        self._spans[name] = spans
        several = {}
        for number, them in enumerate(held):
            ranks = set(ranks_of(tuple(them)))
            if len(ranks) > 1:
                several[number] = tuple(them)
            else:
                self._loads[ranks.pop()] += sizes[number]
        return several

    def _owner(self, holders: Holders, size: int) -> int:
        """The holder that has the least to store so far; of equals the first."""
        owner = min((rank for rank, _ in holders), key=lambda rank: (self._loads[rank], rank))
        self._loads[owner] += size
        return owner


def ranks_of(holders: Holders) -> Iterable[int]:
    """Each once."""
    return dict.fromkeys(rank for rank, _ in holders)


def held_in(shards: Sequence[Shard], rank: int) -> dict[str, Held]:
    """What a rank tells of its shards. Raises ValueError: two of one tensor disagree."""
    tensors: dict[str, Held] = {}
    for shard in shards:
        held = tensors.setdefault(shard.tensor, Held(shard.dtype, shard.shape))
        if (held.dtype, held.shape) != (shard.dtype, shard.shape):
            raise ValueError(
                f"{shard.tensor!r} is {held.dtype} {list(held.shape)} in one shard, and not in all"
            )
        if shard.box.elements:
            held.boxes.append((rank, shard.box))
    return tensors
