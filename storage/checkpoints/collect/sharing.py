"""Which commits need a run's packs: its own, those of forks, those of runs with the same tensors."""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from storage.checkpoints.collect.pack_lists import PackLists
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.manifest import Manifest, packs_of
from storage.checkpoints.format.names import manifest_key
from storage.checkpoints.format.pages import WholeRun, read_whole
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.restore.inspection import Inspector
from storage.objects import NotFound, Truncated

_THREADS = 8


@dataclass(frozen=True, slots=True)
class Sharer:
    """Commits of one run, and where their bytes lie."""

    run: str
    whole: WholeRun
    """The run as it was read, all of its commits."""
    commits: tuple[Commit, ...]
    """Those looked at that are complete, the lowest step first."""
    manifests: Mapping[str, Manifest]
    """By commit."""
    spared: frozenset[str]
    """Packs that stay whatever is done, for a damaged commit names them, or an older entry of the same id."""


def whole_sharer(shelf: Shelf, run: str) -> Sharer:
    """A run with all of its commits. Raises RunMissing, Damaged (its head or a page)."""
    whole = read_whole(shelf, run)
    return _looked_at(shelf, run, whole, whole.commits, ())


def sharers(shelf: Shelf, run: str, packs: Collection[str], lists: PackLists | None = None) -> list[Sharer]:
    """Other runs that need some of these packs, each with the commits that do, in order of names.

    Lists the runs, and reads each head, each page, and of each manifest its packs (once ever, with `lists`);
    of commits that need some, the manifest and the sizes of its packs.

    Raises:
        Damaged: a head, a page or a manifest of another run cannot be understood.
    """
    found = []
    for other in shelf.runs():
        if other == run:
            continue
        whole = read_whole(shelf, other)
        naming = naming_commits(shelf, other, whole.entries, packs, lists)
        if naming:
            latest = {it.manifest for it in whole.commits}
            older = {pack for manifest, those in naming.items() if manifest not in latest for pack in those}
            commits = [it for it in whole.commits if it.manifest in naming]
            found.append(_looked_at(shelf, other, whole, commits, older))
    return found


def naming_commits(
    shelf: Shelf,
    run: str,
    commits: Iterable[Commit],
    packs: Collection[str],
    lists: PackLists | None = None,
) -> dict[str, list[str]]:
    """Which of these packs each of a run's commits needs, by manifest, if any. Raises Damaged."""
    named = packs_by_manifest(shelf, run, commits, lists)
    needed = {manifest: [it for it in those if it in packs] for manifest, those in named.items()}
    return {manifest: those for manifest, those in needed.items() if those}


def packs_by_manifest(
    shelf: Shelf, run: str, commits: Iterable[Commit], lists: PackLists | None = None
) -> dict[str, list[str]]:
    """The packs of each commit's manifest; one that is gone is left out. Raises Damaged."""
    sizes = {it.manifest: it.manifest_bytes for it in commits}
    keys = {manifest_key(run, name): name for name in sizes}
    known = {} if lists is None else lists.get(list(keys))

    def read(key: str) -> list[str] | None:
        try:
            return list(packs_of(shelf.files.get_range(key, 0, sizes[keys[key]]), key))
        except (NotFound, Truncated):
            return None  # dropped and collected meanwhile, or lost: either way it needs no pack any more

    unread = [key for key in keys if key not in known]
    with ThreadPoolExecutor(_THREADS) as pool:
        answers = dict(zip(unread, pool.map(read, unread), strict=True))
    fresh = {key: those for key, those in answers.items() if those is not None}
    if lists is not None:
        lists.put(fresh)
    return {keys[key]: those for key, those in (*known.items(), *fresh.items())}


def _looked_at(
    shelf: Shelf, run: str, whole: WholeRun, commits: Iterable[Commit], spared: Iterable[str]
) -> Sharer:
    complete: list[Commit] = []
    manifests: dict[str, Manifest] = {}
    staying = set(spared)
    for verdict in sorted(Inspector(shelf, run).look_at(commits), key=lambda it: it.commit.step):
        if verdict.manifest is not None and verdict.trouble is None:
            complete.append(verdict.commit)
            manifests[verdict.commit.id] = verdict.manifest
        elif verdict.manifest is not None:
            staying.update(verdict.manifest.packs)
    return Sharer(run, whole, tuple(complete), manifests, frozenset(staying))
