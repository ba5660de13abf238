"""Store commits anew that keep bytes of dropped ones alive: docs/checkpoint-format.md#repacking

A kept commit at the end of a chain of differences needs the packs of every commit before it, dropped or
not. Repacking empties such packs where that pays (see `waste`): what kept commits need of them moves into new
ones, under new manifests. Commits keep their ids, which hash what they hold, and all that people said of
them. What is freed goes with the second collection afterwards.

Done by anybody, beside a trainer and collections. May be killed at any moment: each commit changes over in
one change of the head, and what was uploaded for one that did not is garbage like any other.

Memory: three states of the run, and all of its manifests. Packs that another run names too, a fork or one
that began with the same tensors, are left as they are: emptied for one run, they would stay for the other,
and what both need would lie there twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from storage.checkpoints.edits import Changes, edit_run
from storage.checkpoints.errors import Damaged
from storage.checkpoints.head import Commit
from storage.checkpoints.inspection import Inspector
from storage.checkpoints.manifest import Manifest
from storage.checkpoints.names import manifest_key, pack_key
from storage.checkpoints.others import packs_of_others
from storage.checkpoints.pack_lists import PackLists
from storage.checkpoints.pages import read_whole
from storage.checkpoints.progress import Progress, silent
from storage.checkpoints.restore import is_named
from storage.checkpoints.rewriting import Rewriter
from storage.checkpoints.shelf import Retries, Shelf
from storage.checkpoints.waste import wasteful_packs
from storage.objects import LostRace


@dataclass(frozen=True, slots=True)
class Repacked:
    """What a repack did, or would do."""

    commits: int
    """Of the run; damaged ones are left out, and so is whatever they need."""
    rewritten: tuple[Commit, ...]
    """As the head names them now; of a dry run, as it names them still."""
    emptied: Mapping[str, int]
    """Packs that the run does not need any more, with their bytes; two collections free them."""
    stored_bytes: int
    """New packs and manifests; 0 of a dry run, for only the encoder can tell."""


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
    """Empty wasteful packs of a run.

    Args:
        shelf: the repository.
        run: whose commits.
        dry_run: only say which commits would be rewritten, and what that empties.
        lists: what was read of manifests before. Other runs' are read only if there is something to do.
        progress: told how far it is.

    Raises:
        RunMissing, CommitFailed.
        Damaged: what has to be read is not what its hash says. Commits rewritten before that stay so.
    """
    retries = Retries(shelf, f"repacking run {run!r}")
    rewritten: list[Commit] = []
    emptied: dict[str, int] = {}
    stored = 0
    while True:
        work = _Repacking(shelf, run, lists)
        emptied |= work.emptied
        if dry_run:
            return Repacked(len(work.commits), tuple(work.affected), emptied, 0)
        finished = work.rewrite(progress)
        rewritten += work.landed
        stored += work.stored_bytes
        if finished:
            return Repacked(len(work.commits), tuple(rewritten), emptied, stored)
        retries.after(LostRace("a collection has condemned what was about to be named"))


class _Repacking:
    """One go at it; the numbers are those of docs/checkpoint-format.md#writing."""

    def __init__(self, shelf: Shelf, run: str, lists: PackLists | None) -> None:
        self.shelf, self.run = shelf, run
        self.learned = shelf.newest_collection()  # (1), before anything is read that may be reused
        self.whole = read_whole(shelf, run)
        verdicts = Inspector(shelf, run).look_at(self.whole.commits)
        spared: set[str] = set()
        self.manifests: dict[str, Manifest] = {}
        self.commits: list[Commit] = []
        for verdict in sorted(verdicts, key=lambda it: it.commit.step):
            if verdict.manifest is not None and verdict.trouble is None:
                self.commits.append(verdict.commit)
                self.manifests[verdict.commit.id] = verdict.manifest
            elif verdict.manifest is not None:
                spared.update(verdict.manifest.packs)
        sizes = {pack: size for it in self.manifests.values() for pack, size in it.packs.items()}
        manifests = list(self.manifests.values())
        wasteful = wasteful_packs(manifests, spared)
        if wasteful:
            wasteful = wasteful_packs(manifests, spared | packs_of_others(shelf, run, lists))
        self.emptied = {it: sizes[it] for it in wasteful}
        self.affected = [it for it in self.commits if self.manifests[it.id].packs.keys() & self.emptied]
        self.landed: list[Commit] = []
        self.stored_bytes = 0

    def rewrite(self, progress: Progress) -> bool:
        """All affected commits; False: objects were condemned meanwhile, and it must begin anew."""
        rewriter = Rewriter(self.shelf, self.run, self.whole, self.learned, self.manifests, self.emptied)
        before = dict(zip((it.id for it in self.commits), (None, *self.commits), strict=False))
        for number, commit in enumerate(self.affected):
            progress("repacking", number, len(self.affected))
            try:
                new, manifest = rewriter.rewrite(commit, before[commit.id])  # (2)
            except Damaged:
                if is_named(self.shelf, self.run, commit):
                    raise
                continue  # dropped and collected meanwhile
            self.stored_bytes += new.new_bytes
            outcome = self.land(commit, new, manifest)
            if outcome is _Outcome.CONDEMNED:
                return False
            if outcome is _Outcome.LANDED:
                self.landed.append(new)
        return True

    def land(self, old: Commit, new: Commit, manifest: Manifest) -> _Outcome:
        """(3) and (4): let the head name the new manifest, unless it names another one by now."""
        ours = {manifest_key(self.run, new.manifest), *map(pack_key, manifest.packs)}
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

        edit_run(self.shelf, self.run, f"repacking {self.run}/{old.id}", decide)
        return outcome


def _condemned(shelf: Shelf, learned: int) -> set[str]:
    """Keys that were condemned since; called after the head was read that is to be replaced.

    A later collection changes that head, and our change of it is lost.
    """
    return shelf.condemned(learned, shelf.newest_collection())
