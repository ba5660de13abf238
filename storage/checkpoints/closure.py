"""Chunks with everything that they are predicted from, down to chunks that are stored alone."""

from collections.abc import Collection, Iterable, Mapping

from storage.checkpoints.chunks import ChunkId
from storage.checkpoints.manifest import DEPTH_LIMIT, Location


def with_bases(
    chunks: Iterable[ChunkId], locations: Mapping[ChunkId, Location], depths: dict[ChunkId, int] | None = None
) -> dict[ChunkId, Location]:
    """Those of `chunks` that can be decoded with `locations`, and their bases; bases come first.

    Args:
        chunks: wanted.
        locations: as far as they are known; a chunk of which a base is not known counts as unknown.
        depths: comes to hold the longest chain of predictions below each chunk that can be decoded.

    A chain longer than `DEPTH_LIMIT` counts as unknown too.
    """
    found: dict[ChunkId, Location] = {}
    depths = {} if depths is None else depths
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
                    depth = max((depths[base] + 1 for base in at.bases), default=0)
                    if depth <= DEPTH_LIMIT:
                        found[chunk], depths[chunk] = at, depth
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
