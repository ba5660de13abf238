"""Count what a repository holds."""

from dataclasses import dataclass

from storage.checkpoints.names import PACKS
from storage.checkpoints.pages import read_whole
from storage.checkpoints.shelf import Shelf


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
    sizes = dict(shelf.files.list(""))
    runs = shelf.runs()
    commits = [commit for run in runs for commit in read_whole(shelf, run).commits]
    packs = [size for key, size in sizes.items() if key.startswith(PACKS)]
    return Statistics(
        runs=len(runs),
        commits=len(commits),
        raw_bytes=sum(commit.raw_bytes for commit in commits),
        stored_bytes=sum(sizes.values()),
        packs=len(packs),
        pack_bytes=sum(packs),
    )
