"""Count what a repository holds."""

from dataclasses import dataclass

from storage.checkpoints.format.names import PACKS
from storage.checkpoints.format.pages import read_whole
from storage.checkpoints.format.shelf import Shelf


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """What a repository takes, against what its checkpoints would take one by one. Counts and bytes."""

    runs: int
    commits: int
    raw_bytes: int
    """Tensor bytes of all commits, each counted in full."""
    stored_bytes: int
    """Everything below the prefix."""
    packs: int
    pack_bytes: int


def count(shelf: Shelf) -> Statistics:
    """Count everything: lists the whole prefix and reads every head and page."""
    stored = packs = pack_bytes = commits = raw_bytes = 0
    for key, size in shelf.files.list(""):
        stored += size
        if key.startswith(PACKS):
            packs += 1
            pack_bytes += size
    runs = shelf.runs()
    for run in runs:
        for commit in read_whole(shelf, run).commits:
            commits += 1
            raw_bytes += commit.raw_bytes
    return Statistics(
        runs=len(runs),
        commits=commits,
        raw_bytes=raw_bytes,
        stored_bytes=stored,
        packs=packs,
        pack_bytes=pack_bytes,
    )
