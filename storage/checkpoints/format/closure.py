"""Chunks with everything that they are predicted from, down to chunks that are stored alone."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.locations import DEPTH_LIMIT, Location


@dataclass(frozen=True, slots=True)
class Chain:
    """What a chunk rests on."""

    links: int
    """Of the longest chain of predictions below it."""
    read_bytes: int
    """Stored bytes of itself, of what it is predicted from first, and so on down to one that stands alone.

    Further bases (moments beside a weight) are left out: they are read for themselves."""

    @classmethod
    def of(cls, at: Location, below: Mapping[ChunkId, Self]) -> Self:
        """Of a chunk whose bases' chains are known."""
        links = max((below[base].links + 1 for base in at.bases), default=0)
        return cls(links, at.size + (below[at.bases[0]].read_bytes if at.bases else 0))


def with_bases(
    chunks: Iterable[ChunkId],
    locations: Mapping[ChunkId, Location],
    chains: dict[ChunkId, Chain] | None = None,
) -> dict[ChunkId, Location]:
    """Those of `chunks` that can be decoded with `locations`, and their bases; bases come first.

    Args:
        chunks: wanted.
        locations: as far as they are known; a chunk of which a base is not known counts as unknown.
        chains: comes to hold the chain below each chunk that can be decoded.

    A chain longer than `DEPTH_LIMIT` counts as unknown too.
    """
    found: dict[ChunkId, Location] = {}
    chains = {} if chains is None else chains
    seen: set[ChunkId] = set()
    for wanted in chunks:
        pending = [wanted]
        while pending:
            chunk = pending[-1]
            at = locations.get(chunk)
            if chunk in found or at is None:
                pending.pop()
            elif chunk not in seen:
                seen.add(chunk)
                pending += [base for base in at.bases if base not in seen]
            else:  # all that it needs has been looked at
                pending.pop()
                if all(base in found for base in at.bases):
                    chain = Chain.of(at, chains)
                    if chain.links <= DEPTH_LIMIT:
                        found[chunk], chains[chunk] = at, chain
    return found


def families(bases_of: Mapping[ChunkId, Iterable[ChunkId]]) -> list[list[ChunkId]]:
    """The chunks apart into groups that rest on nothing of each other; bases come first, here and there."""
    leader: dict[ChunkId, ChunkId] = {}

    def find(chunk: ChunkId) -> ChunkId:
        while leader[chunk] != chunk:
            leader[chunk] = leader[leader[chunk]]
            chunk = leader[chunk]
        return chunk

    for chunk, bases in bases_of.items():
        leader[chunk] = chunk
        for base in bases:
            leader[find(base)] = chunk
    groups: dict[ChunkId, list[ChunkId]] = {}
    for chunk in bases_of:
        groups.setdefault(find(chunk), []).append(chunk)
    return list(groups.values())


def levels(chunks: Collection[ChunkId], locations: Mapping[ChunkId, Location]) -> list[list[ChunkId]]:
    """Chunks that can be decoded at once, then those that need them, and so on; bases must come first."""
    depth: dict[ChunkId, int] = {}
    found: list[list[ChunkId]] = []
    for chunk in chunks:
        depth[chunk] = max((depth[base] + 1 for base in locations[chunk].bases), default=0)
        if depth[chunk] == len(found):
            found.append([])
        found[depth[chunk]].append(chunk)
    return found
