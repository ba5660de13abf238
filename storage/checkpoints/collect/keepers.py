"""Who keeps packs alive: commits that need them, of whichever run; and what dropping commits would free.

Reads each head, each page, and of each manifest its packs (once ever, with `PackLists`). Memory: one run's
commits, and a reference for each commit that needs one of the packs asked about.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.checkpoints.collect.pack_lists import PackLists
from storage.checkpoints.collect.sharing import naming_commits
from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.manifest import packs_of
from storage.checkpoints.format.names import manifest_key
from storage.checkpoints.format.pages import read_whole
from storage.checkpoints.format.shelf import Shelf
from storage.objects import NotFound, Truncated

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Keeper:
    """A commit that needs a pack."""

    run: str
    commit: Commit


@dataclass(frozen=True, kw_only=True, slots=True)
class Freed:
    """What dropping commits frees, once two collections have passed."""

    packs: int
    bytes: int
    """Of these packs, and of the commits' manifests."""
    staying: Mapping[str, int]
    """Packs of theirs that other commits need, with their bytes."""
    keepers: Mapping[str, Sequence[Keeper]]
    """Of each pack that stays: who needs it."""

    @property
    def staying_bytes(self) -> int:
        """Of all packs that stay."""
        return sum(self.staying.values())


def keepers(
    shelf: Shelf,
    packs: Collection[str],
    lists: PackLists | None = None,
    without: tuple[str, Collection[str]] = ("", _NONE),
) -> dict[str, list[Keeper]]:
    """The commits that need each of these packs; a pack that nobody needs is left out.

    Args:
        shelf: the repository.
        packs: which packs.
        lists: what was read of manifests before.
        without: a run, and ids of its commits that do not count.

    Raises:
        Damaged: a head, a page or a manifest cannot be understood.
    """
    found: dict[str, list[Keeper]] = defaultdict(list)
    if not packs:
        return found
    for run in shelf.runs():
        left_out = without[1] if run == without[0] else _NONE
        commits = [it for it in read_whole(shelf, run).entries if it.id not in left_out]
        named = naming_commits(shelf, run, commits, packs, lists)
        for commit in commits:
            for pack in named.get(commit.manifest, ()):
                found[pack].append(Keeper(run, commit))
    return dict(found)


def freed_by(shelf: Shelf, run: str, dropped: Iterable[Commit], lists: PackLists | None = None) -> Freed:
    """What dropping these commits of a run frees, as far as their manifests can be read.

    Raises:
        Damaged: a head, a page or a manifest of what stays cannot be understood.
    """
    sizes: dict[str, int] = {}
    manifests = 0
    ids = set()
    for commit in dropped:
        ids.add(commit.id)
        key = manifest_key(run, commit.manifest)
        try:
            sizes |= packs_of(shelf.files.get_range(key, 0, commit.manifest_bytes), key)
            manifests += commit.manifest_bytes
        except (NotFound, Truncated, Damaged):
            continue  # dropped and collected meanwhile, lost or damaged: what it needed cannot be told
    needed = keepers(shelf, sizes, lists, (run, ids))
    gone = [size for pack, size in sizes.items() if pack not in needed]
    staying = {pack: sizes[pack] for pack in sorted(needed)}
    return Freed(packs=len(gone), bytes=manifests + sum(gone), staying=staying, keepers=needed)


def in_words(those: Iterable[Keeper]) -> str:
    """Runs and commits, of each run the one of the highest step by name and the others by number."""
    runs: dict[str, dict[str, Commit]] = defaultdict(dict)
    for it in those:
        runs[it.run][it.commit.id] = it.commit
    parts = []
    for run, commits in sorted(runs.items()):
        newest = max(commits.values(), key=lambda it: it.step)
        more = f" and {len(commits) - 1} more of this run" if len(commits) > 1 else ""
        parts.append(f"{run}/{newest.id[:8]} (step {newest.step}){more}")
    return ", ".join(parts)
