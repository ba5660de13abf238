"""What the first save of a run may reuse: chunks that other runs hold, such as the same pretrained tensors.

Nothing tells which runs hold a chunk, so a few are looked at: those that the caller names, then those whose
names begin most like the new one's, as names of one project do; of equals the last in order, as names often
end in a date or a number. Of each the first manifest, where pretrained tensors stand alone, and the newest.

Cost, once in the life of a run: the names of all runs (one request for 1,000), and of at most `RUNS` runs a
head, a page and two manifests, these of no more bytes in all than what might not have to be stored; then one
request for each pack that is reused. Nothing grows with the number of commits. Runs of which a commit is
damaged are passed over: no save may reuse what that one needs. Memory: one manifest at a time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile

from storage.checkpoints.errors import Damaged, RunMissing, UnsupportedRepository
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.closure import with_bases
from storage.checkpoints.format.head import Commit, Head, newest_first
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.names import pack_key
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.save.draft import Outline
from storage.objects import NotFound

RUNS = 16
"""Runs that are looked at."""
LEAST = 2**18
"""Raw bytes: for less, nobody is asked, since it is stored sooner."""

_THREADS = 8


@dataclass(slots=True)
class Borrowed:
    """Chunks in packs that commits of other runs name."""

    locations: dict[ChunkId, Location] = field(default_factory=dict)
    """Bases are there too, and come first: so no circle can come about between two manifests."""
    pack_bytes: dict[str, int] = field(default_factory=dict)
    """Of every pack in `locations`."""


def borrow(
    shelf: Shelf, run: str, outline: Outline, read_limit: float, likely: Sequence[str] = ()
) -> Borrowed:
    """Look for a state's chunks in other runs.

    The caller must know the newest collection from before, and look at all lists from that one on before a
    head comes to name what is borrowed here.

    Args:
        shelf: the repository.
        run: which run asks.
        outline: its state.
        read_limit: bytes that a restore of what is reused may read ÷ its raw bytes; beyond that, only what
            rests on nothing is reused.
        likely: runs to look at first.
    """
    sizes = outline.sizes
    left = sum(sizes.values())
    found = Borrowed()
    if left < LEAST:
        return found
    for other in _nearest(shelf, run, likely):
        for commit in _commits(shelf, other):
            missing = [chunk for chunk in sizes if chunk not in found.locations]
            if missing and commit.manifest_bytes <= left:
                left -= commit.manifest_bytes
                _learn(found, shelf, other, commit, missing)
        if sizes.keys() <= found.locations.keys():
            break
    return _checked(shelf, found, sizes, read_limit)


def _nearest(shelf: Shelf, run: str, likely: Sequence[str]) -> list[str]:
    names = sorted(set(shelf.run_names()) - {run}, reverse=True)
    names.sort(key=lambda it: _alike(it, run), reverse=True)
    return list(dict.fromkeys([*(it for it in likely if it in names), *names]))[:RUNS]


def _alike(name: str, other: str) -> int:
    """Characters with which both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False)))


def _commits(shelf: Shelf, run: str) -> Iterator[Commit]:
    """A run's first and newest commit; none if it cannot be read, or is about to be begun or removed."""
    try:
        head, _ = shelf.read_head(run)
        if any(commit.damaged for commit in head.commits):
            return
        ends = (*_first(shelf, run, head), *newest_first(head.commits)[:1])
        yield from {commit.manifest: commit for commit in ends}.values()
    except (Damaged, RunMissing):
        return


def _first(shelf: Shelf, run: str, head: Head) -> tuple[Commit, ...]:
    commits = shelf.read_page(run, *head.pages[0]) if head.pages else head.commits
    oldest = newest_first(commits)[-1:]
    return () if any(commit.damaged for commit in commits) else tuple(oldest)


def _learn(found: Borrowed, shelf: Shelf, run: str, commit: Commit, missing: Iterable[ChunkId]) -> None:
    try:
        manifest = shelf.read_manifest(run, commit)
    except (Damaged, UnsupportedRepository):  # dropped and collected meanwhile, or for others to tell
        return
    for chunk, at in with_bases(missing, manifest.locations).items():
        if chunk not in found.locations:
            found.locations[chunk] = at
            found.pack_bytes[at.pack] = manifest.packs[at.pack]


def _checked(shelf: Shelf, found: Borrowed, sizes: Mapping[ChunkId, int], read_limit: float) -> Borrowed:
    """Without what lies in packs that are not there in full, and within the limit."""
    locations = found.locations
    raw = sum(size for chunk, size in sizes.items() if chunk in locations)
    if sum(at.size for at in locations.values()) > read_limit * raw:
        locations = {chunk: at for chunk, at in locations.items() if not at.bases}
    packs = sorted({at.pack for at in with_bases(sizes, locations).values()})
    with ThreadPoolExecutor(_THREADS) as pool:
        there = dict(zip(packs, pool.map(lambda it: _size(shelf, it), packs), strict=True))
    whole = {pack: size for pack, size in there.items() if size == found.pack_bytes[pack]}
    kept = {chunk: at for chunk, at in locations.items() if at.pack in whole}
    return Borrowed(with_bases(sizes, kept), {pack: found.pack_bytes[pack] for pack in whole})


def _size(shelf: Shelf, pack: str) -> int | None:
    try:
        return shelf.files.size(pack_key(pack))
    except NotFound:
        return None
