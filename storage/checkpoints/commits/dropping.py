"""Drop commits of a run: one change of its head. Their bytes stay until two collections have passed."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from storage.checkpoints.commits.edits import Changes, edit_run
from storage.checkpoints.commits.retention import Retention
from storage.checkpoints.errors import CommitPinned
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.restore.choosing import find_commit
from storage.checkpoints.restore.inspection import Inspector


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was dropped from a run, or would be."""

    kept: tuple[Commit, ...]
    dropped: tuple[Commit, ...]
    """In the order written. `Repository.undo_drop` takes them back until a collection condemns them."""
    damaged: tuple[str, ...] = ()
    """Plain words about each commit that the policy would keep but that is not complete: now marked."""


def retain(shelf: Shelf, run: str, policy: Retention, *, dry_run: bool = False) -> Dropped:
    """Drop what a policy does not keep; whatever it counts on is looked at first, packs and their sizes.

    Raises:
        RunMissing, Damaged (a page), CommitFailed.
    """
    inspector = Inspector(shelf, run)
    result = Dropped((), ())
    gone: dict[str, Commit] = {}  # by all tries: one whose answer was lost may have dropped them

    def decide(commits: tuple[Commit, ...]) -> Changes:
        nonlocal result
        trouble: dict[str, str] = {}
        while True:
            kept = policy.kept(commits)
            verdicts = inspector.look_at(commit for commit in kept if not commit.damaged)
            found = {it.commit.id: it.trouble for it in verdicts if it.trouble}
            if not found:
                break
            trouble |= found
            commits = tuple(replace(it, damaged=True) if it.id in found else it for it in commits)
        changes: dict[str, Commit | None] = {it.id: it for it in kept if it.id in trouble}
        ids = {commit.id for commit in kept}
        dropped = [commit for commit in commits if commit.id not in ids]
        gone.update((commit.id, commit) for commit in dropped)
        words = tuple(f"{run}/{commit}: {why}" for commit, why in trouble.items())
        result = Dropped(kept, tuple(it for it in gone.values() if it.id not in ids), words)
        return {} if dry_run else {**changes, **{commit.id: None for commit in dropped}}

    edit_run(shelf, run, f"dropping commits of run {run!r}", decide)
    return result


def drop(shelf: Shelf, run: str, wanted: Collection[str]) -> Dropped:
    """Drop commits by id, first digits of it, or tag, even the last one that is left.

    Raises:
        CommitPinned: somebody needs one of them; nothing was dropped.
        RunMissing, CommitMissing, Damaged, CommitFailed.
    """
    ids: set[str] = set()
    gone: dict[str, Commit] = {}

    def decide(commits: tuple[Commit, ...]) -> Changes:
        if not ids:  # a tag may move on between two tries: stay with what was meant
            ids.update(find_commit(run, commits, name).id for name in wanted)
        chosen = [commit for commit in commits if commit.id in ids]
        for commit in chosen:
            if commit.pins:
                raise CommitPinned(
                    f"{run}/{commit.id} is pinned by {', '.join(commit.pins)}; unpin it before it is dropped"
                )
        gone.update((commit.id, commit) for commit in chosen)
        return {commit.id: None for commit in chosen}

    edited = edit_run(shelf, run, f"dropping commits of run {run!r}", decide)
    kept = tuple(commit for commit in edited.before if commit.id not in ids)
    return Dropped(kept, tuple(gone.values()))
