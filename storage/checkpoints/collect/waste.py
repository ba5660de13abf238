"""Which packs are worth emptying, by what all commits need that name them.

A commit's *own* chunks are those that its tensors consist of. A *strange* one is no commit's own: the base of
a dropped commit, needed only to decode others. Strange chunks stay as long as they take less than the raw
bytes of what rests on them; so no commit costs more than its state. Beyond that they are *dead*, like all
that nothing needs, and a pack that is dead by more than a fifth is emptied: what lies there, or rests on a
strange chunk there, is stored anew. What rests on such a commit's own chunks stays: bases go by their hash.
"""

from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.closure import with_bases
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.restore.reading import kinds_of, places_of

WASTE_LIMIT = 0.2
"""Dead bytes ÷ bytes of a pack, above which it is emptied."""

_ANEW = Location("", 0, 0, "raw")


def own_chunks(manifest: Manifest) -> dict[ChunkId, int]:
    """Chunks of the commit's tensors, but for those of inlined ones, and their raw bytes."""
    kinds = kinds_of(manifest.tensors, places_of(manifest.tensors))
    return {chunk: size for chunk, (_, size) in kinds.items()}


def left_of(
    manifest: Manifest, emptied: Collection[str], moved: dict[ChunkId, Location]
) -> Mapping[ChunkId, Location]:
    """Where a commit's chunks lie without the emptied packs; a base of one may be missing.

    What rests on nothing there stays. Others may have `moved` with another commit, or rest on what did.
    """
    outside = {chunk: at for chunk, at in manifest.locations.items() if at.pack not in emptied}
    return ChainMap(with_bases(outside, outside), moved, outside)


def elsewhere(
    manifests: Iterable[Manifest], emptied: Collection[str], spared: Collection[str]
) -> dict[ChunkId, Location]:
    """Chunks that some commit has in packs that stay, with all they rest on: others may name them there.

    So what was moved for one commit is not stored again for the next, also by a repack that goes on from
    where another was cut short. Not in `spared` packs, which damaged commits name: no bytes are read here,
    and what is whole where it lies must not come to rest on what may not be.
    """
    found: dict[ChunkId, Location] = {}
    if emptied:
        barred = {*emptied, *spared}
        for manifest in manifests:
            outside = {chunk: at for chunk, at in manifest.locations.items() if at.pack not in barred}
            found |= with_bases(outside, outside)
    return found


def wasteful_packs(
    manifests: Sequence[Manifest], movable: Collection[str], spared: Collection[str]
) -> tuple[set[str], set[str]]:
    """Packs to be emptied, and wasteful ones that nothing must be moved to, though they stay for now.

    The latter are other runs' alone, and may be needed by more than these manifests. What came to lie there
    would have to move again with the next repack.

    Args:
        manifests: of all commits that name a movable pack, in the order in which they would be stored anew.
        movable: the packs that may be emptied.
        spared: packs that stay in any case: to empty them would free nothing.
    """
    worthwhile = [*_worthwhile(manifests, spared)]
    sizes = {pack: size for manifest in manifests for pack, size in manifest.packs.items()}
    found: set[str] = set()
    barred: set[str] = set()
    while True:  # what is stored anew may leave other packs wasteful behind
        live = _live_bytes(manifests, worthwhile, found, {*spared, *barred})
        wasteful = {
            pack
            for pack, size in sizes.items()
            if pack not in spared and size - live.get(pack, 0) > WASTE_LIMIT * size
        }
        if wasteful <= found | barred:
            return found, barred
        found |= wasteful.intersection(movable)
        barred |= wasteful - found


def _worthwhile(manifests: Sequence[Manifest], spared: Collection[str]) -> Iterator[set[ChunkId]]:
    """Of each commit, the strange chunks down to other commits' own, if they cost less than its raw bytes.

    What one commit keeps alive costs the later ones nothing. What it does not is charged to the next: so a
    fork's first commit, which is its parent's, does not keep what is not worth it to the parent.
    """
    own = {chunk for manifest in manifests for chunk in own_chunks(manifest)}
    counted: set[ChunkId] = set()
    for manifest in manifests:
        taken = raw = 0
        strange: set[ChunkId] = set()
        for chunk, size in own_chunks(manifest).items():
            at = manifest.locations[chunk]
            below = {base for base in at.bases if base not in own}
            if below:
                raw += size
                taken += at.size
                strange |= below
        pending = list(strange)
        while pending:
            chunk = pending.pop()
            at = manifest.locations[chunk]
            if chunk not in counted and at.pack not in spared:
                taken += at.size
            more = {base for base in at.bases if base not in own} - strange
            strange |= more
            pending += more
        if taken <= raw:
            counted |= strange  # they stay, so they cost nobody else anything
            yield strange
        else:
            yield set()


def _live_bytes(
    manifests: Sequence[Manifest],
    worthwhile: Sequence[set[ChunkId]],
    emptied: Collection[str],
    spared: Collection[str],
) -> Mapping[str, int]:
    """Of each pack, once what lies in emptied ones has been stored anew."""
    live: dict[str, int] = {}
    counted: set[tuple[str, int]] = set()
    anew = elsewhere(manifests, emptied, spared)
    for manifest, strange in zip(manifests, worthwhile, strict=True):
        own = own_chunks(manifest)
        usable = with_bases(own, left_of(manifest, emptied, anew))
        anew.update((chunk, _ANEW) for chunk in own if chunk not in usable)
        for chunk, at in usable.items():
            place = at.pack, at.offset
            if at is not _ANEW and place not in counted and (chunk in own or chunk in strange):
                counted.add(place)
                live[at.pack] = live.get(at.pack, 0) + at.size
    return live
