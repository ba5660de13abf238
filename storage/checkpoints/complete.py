"""Find a commit that is complete: the one that was asked for, or the newest such, with what was passed over.

Complete: its manifest parses and has its id, its packs are there with their recorded sizes. Bytes are not
read: a restore checks them.
"""

from dataclasses import dataclass

from storage.checkpoints.errors import Damaged
from storage.checkpoints.head import Commit
from storage.checkpoints.inspection import Inspector
from storage.checkpoints.manifest import Manifest
from storage.checkpoints.restore import NEWEST, by_age, dropped_meanwhile, locate, nothing_complete
from storage.checkpoints.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Complete:
    """A commit with all that a restore of it needs."""

    commit: Commit
    manifest: Manifest
    skipped: tuple[str, ...] = ()
    """Plain words about each newer commit that was passed over because it is damaged."""


def find_complete(shelf: Shelf, run: str, wanted: str) -> Complete:
    """The commit that an id, its first digits or a tag names, or the newest one that is complete.

    Raises:
        RunMissing, CommitMissing, Damaged: there is none such, or it is not complete.
    """
    return _newest(shelf, run) if wanted == NEWEST else _named(shelf, run, wanted)


def _named(shelf: Shelf, run: str, wanted: str) -> Complete:
    commit = locate(shelf, run, wanted)
    with dropped_meanwhile(shelf, run, commit):
        verdict = Inspector(shelf, run).look(commit)
        if verdict.manifest is None or verdict.trouble:
            raise Damaged(f"{run}/{commit.id} is not whole: {verdict.trouble}; choose another commit")
    return Complete(commit, verdict.manifest)


def _newest(shelf: Shelf, run: str) -> Complete:
    inspector = Inspector(shelf, run)
    notes: list[str] = []
    for commit in by_age(shelf, run):
        verdict = inspector.look(commit)
        if verdict.manifest is not None and not verdict.trouble:
            return Complete(commit, verdict.manifest, tuple(notes))
        notes.append(f"passed over {run}/{commit.id} of step {commit.step}: {verdict.trouble}")
    raise nothing_complete(run, notes)
