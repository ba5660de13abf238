"""What each run takes of a repository's packs: for itself alone, and together with other runs.

Reads each head, each page, and of each manifest its packs (once ever, with `PackLists`), and lists the packs.
Memory: about 200 bytes for each pack, and one run's commits.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from storage.checkpoints.collect.pack_lists import PackLists
from storage.checkpoints.collect.sharing import packs_by_manifest
from storage.checkpoints.format.names import PACKS
from storage.checkpoints.format.pages import read_whole
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.progress import Progress, silent


@dataclass(frozen=True, kw_only=True, slots=True)
class RunShare:
    """One run."""

    commits: int
    raw_bytes: int
    """Tensor bytes of all its commits, each counted in full."""
    pack_bytes: int
    """Of all packs that its commits need."""
    own_bytes: int
    """Of those that no other run needs: what removing the run would free, but for its manifests."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Who needs which part of the packs."""

    runs: Mapping[str, RunShare]
    shared: Mapping[tuple[str, ...], int]
    """Bytes of packs that exactly these runs need, two or more of them; the most bytes first."""
    unnamed_bytes: int
    """Of packs that no commit needs: garbage, or of saves under way."""


def count_shares(shelf: Shelf, lists: PackLists | None = None, progress: Progress = silent) -> Shares:
    """Count them. Raises Damaged: a head, a page or a manifest cannot be understood."""
    groups: dict[tuple[str, ...], tuple[str, ...]] = {}  # each held once, whatever number of packs it has
    holders: dict[str, tuple[str, ...]] = {}
    totals: dict[str, tuple[int, int]] = {}
    runs = shelf.runs()
    for number, run in enumerate(runs):
        progress("reading manifests", number, len(runs))
        whole = read_whole(shelf, run)
        totals[run] = len(whole.commits), sum(it.raw_bytes for it in whole.commits)
        for packs in packs_by_manifest(shelf, run, whole.entries, lists).values():
            for pack in packs:
                before = holders.get(pack, ())
                if run not in before[-1:]:
                    grown = (*before, run)
                    holders[pack] = groups.setdefault(grown, grown)
    held: dict[tuple[str, ...], int] = defaultdict(int)
    for key, size in shelf.files.list(PACKS):
        held[holders.get(key.removeprefix(PACKS), ())] += size
    unnamed = held.pop((), 0)
    taken: dict[str, int] = defaultdict(int)
    for group, size in held.items():
        for run in group:
            taken[run] += size
    return Shares(
        runs={
            run: RunShare(
                commits=totals[run][0],
                raw_bytes=totals[run][1],
                pack_bytes=taken[run],
                own_bytes=held.get((run,), 0),
            )
            for run in runs
        },
        shared=dict(sorted(((it, n) for it, n in held.items() if len(it) > 1), key=lambda it: -it[1])),
        unnamed_bytes=unnamed,
    )
