"""Store commits anew that keep bytes of dropped ones alive: docs/checkpoint-format.md#repacking

A kept commit at the end of a chain of differences needs the packs of every commit before it, dropped or
not. Repacking empties such packs where that pays (see `waste`): what kept commits need of them moves into new
ones, under new manifests. Commits keep their ids, which hash what they hold, and all that people said of
them. What is freed goes with the second collection afterwards.

A pack that other runs name too, forks or runs that began with the same tensors, is judged by what the commits
of all of them need, and emptied for all: their manifests are replaced as well, each through its own head, and
what several need moves once.

Done by anybody, beside trainers and collections. May be killed at any moment: each commit changes over in
one change of its head, and what was uploaded for one that did not is garbage like any other. The next repack
finds what has moved already, and lets the other commits name it.

Memory: three states of a run, all of its manifests, and those of other runs' commits that name its packs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from storage.checkpoints.collect.pack_lists import PackLists
from storage.checkpoints.collect.rewriting import Rewriter
from storage.checkpoints.collect.sharing import Sharer, sharers, whole_sharer
from storage.checkpoints.collect.waste import wasteful_packs
from storage.checkpoints.commits.edits import Changes, edit_run
from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.names import manifest_key, pack_key
from storage.checkpoints.format.shelf import Retries, Shelf
from storage.checkpoints.progress import Progress, silent
from storage.checkpoints.restore.choosing import is_named
from storage.objects import LostRace


@dataclass(frozen=True, slots=True)
class Repacked:
    """What a repack did, or would do."""

    commits: int
    """Of the run; damaged ones are left out, and so is whatever they need."""
    rewritten: tuple[Commit, ...]
    """Of the run, as the head names them now; of a dry run, as it names them still."""
    emptied: Mapping[str, int]
    """Packs that no run needs any more, with their bytes; two collections free them."""
    stored_bytes: int
    """New packs and manifests; 0 of a dry run, for only the encoder can tell."""
    others: Mapping[str, tuple[Commit, ...]] = field(default_factory=dict)
    """The same of other runs that needed what was emptied."""


class _Outcome(Enum):
    LANDED = auto()
    GONE = auto()
    CONDEMNED = auto()


def repack(
    shelf: Shelf,
    run: str,
    *,
    dry_run: bool = False,
    lists: PackLists | None = None,
    progress: Progress = silent,
) -> Repacked:
    """Empty wasteful packs of a run, and of whoever shares them.

    Args:
        shelf: the repository.
        run: whose packs.
        dry_run: only say which commits would be rewritten, and what that empties.
        lists: what was read of manifests before. Other runs' are read only if there is something to do.
        progress: told how far it is.

    Raises:
        RunMissing, CommitFailed.
        Damaged: what has to be read is not what its hash says. Commits rewritten before that stay so.
    """
    retries = Retries(shelf, f"repacking run {run!r}")
    rewritten: dict[str, list[Commit]] = {run: []}
    emptied: dict[str, int] = {}
    stored = 0
    while True:
        work = _Repacking(shelf, run, lists)
        emptied |= work.emptied
        finished = dry_run or work.rewrite(progress)
        for sharer, commit in work.affected if dry_run else work.landed:
            rewritten.setdefault(sharer.run, []).append(commit)
        stored += work.stored_bytes
        if finished:
            ours, *others = ((name, tuple(those)) for name, those in rewritten.items())
            return Repacked(len(work.own.commits), ours[1], emptied, stored, dict(others))
        retries.after(LostRace("a collection has condemned what was about to be named"))


class _Repacking:
    """One go at it; the numbers are those of docs/checkpoint-format.md#writing."""

    def __init__(self, shelf: Shelf, run: str, lists: PackLists | None) -> None:
        self.shelf = shelf
        self.learned = shelf.newest_collection()  # (1), before anything is read that may be reused
        self.own = whole_sharer(shelf, run)
        self.sharers = [self.own]
        sizes = {pack: size for it in self.own.manifests.values() for pack, size in it.packs.items()}
        wasteful, self.barred = self.wasteful(sizes)
        if wasteful:  # by what this run needs: by what others need too, no more packs can be
            self.sharers += sharers(shelf, run, sizes, lists)
            wasteful, self.barred = self.wasteful(sizes)
        self.emptied = {it: sizes[it] for it in wasteful}
        self.affected = [
            (sharer, commit)
            for sharer in self.sharers
            for commit in sharer.commits
            if sharer.manifests[commit.id].packs.keys() & self.emptied
        ]
        self.landed: list[tuple[Sharer, Commit]] = []
        self.stored_bytes = 0

    def wasteful(self, packs: Mapping[str, int]) -> tuple[set[str], set[str]]:
        """Those of the run's packs that are to be emptied, by the needs of all sharers so far; see there."""
        manifests = [it.manifests[commit.id] for it in self.sharers for commit in it.commits]
        return wasteful_packs(manifests, packs, frozenset().union(*(it.spared for it in self.sharers)))

    def rewrite(self, progress: Progress) -> bool:
        """All affected commits; False: objects were condemned meanwhile, and it must begin anew."""
        rewriter = Rewriter(self.shelf, self.sharers, self.learned, self.emptied, self.barred)
        for number, (sharer, commit) in enumerate(self.affected):
            progress("repacking", number, len(self.affected))
            try:
                new, manifest = rewriter.rewrite(sharer, commit)  # (2)
            except Damaged:
                if is_named(self.shelf, sharer.run, commit):
                    raise
                continue  # dropped and collected meanwhile
            self.stored_bytes += new.new_bytes
            outcome = self.land(sharer.run, commit, new, manifest)
            if outcome is _Outcome.CONDEMNED:
                return False
            if outcome is _Outcome.LANDED:
                self.landed.append((sharer, new))
        return True

    def land(self, run: str, old: Commit, new: Commit, manifest: Manifest) -> _Outcome:
        """(3) and (4): let the head name the new manifest, unless it names another one by now."""
        ours = {manifest_key(run, new.manifest), *map(pack_key, manifest.packs)}
        outcome = _Outcome.GONE

        def decide(commits: tuple[Commit, ...]) -> Changes:
            nonlocal outcome
            there = next((it for it in commits if it.id == old.id), None)
            if there is not None and there.manifest == new.manifest:
                outcome = _Outcome.LANDED  # by a try whose answer was lost
                return {}
            if there is None or there.damaged or there.manifest != old.manifest:
                outcome = _Outcome.GONE
                return {}
            if _condemned(self.shelf, self.learned) & ours:
                outcome = _Outcome.CONDEMNED
                return {}
            outcome = _Outcome.LANDED
            place = {name: getattr(new, name) for name in ("manifest", "manifest_bytes", "new_bytes")}
            return {old.id: replace(there, **place)}

        edit_run(self.shelf, run, f"repacking {run}/{old.id}", decide)
        return outcome


def _condemned(shelf: Shelf, learned: int) -> set[str]:
    """Keys that were condemned since; called after the head was read that is to be replaced.

    A later collection changes that head, and our change of it is lost.
    """
    return shelf.condemned(learned, shelf.newest_collection())
