"""Change commits that a run has already, or drop some: fields of the head, by anybody, trainer or not.

The trainer's claim stays what it is. If it is at work, it loses one conditional PUT, reads its head, and
goes on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from storage.checkpoints.commits.claim import UNDECIDED
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.pages import Page, WholeRun, latest, read_whole, write_pages
from storage.checkpoints.format.shelf import Retries, Shelf

Changes = Mapping[str, Commit | None]
"""By id: the commit as it is to be, or None to drop it."""


@dataclass(frozen=True, slots=True)
class Edited:
    """What an edit found and changed."""

    before: tuple[Commit, ...]
    """All commits of the run at that moment."""
    changes: Changes


def edit_run(shelf: Shelf, run: str, what: str, decide: Callable[[tuple[Commit, ...]], Changes]) -> Edited:
    """Apply what `decide` makes of a run's commits, in one change of its head.

    Reads all pages of the run (one per 385 commits that are not in the head), writes those that change.

    Args:
        shelf: the repository.
        run: whose commits.
        what: for messages.
        decide: called anew for each try, as others may change the head meanwhile.

    Raises:
        RunMissing, Damaged, CommitFailed, and what `decide` raises.
    """
    retries = Retries(shelf, what)
    generation: int | None = None
    while True:
        whole = read_whole(shelf, run)
        changes = decide(whole.commits)
        if not changes:
            return Edited(whole.commits, changes)
        if whole.pages and generation is None:
            generation = shelf.newest_collection()
        pages = _rewritten(shelf, run, whole, changes, generation or 0)
        commits = _applied(whole.head.commits, changes)
        head = whole.head.changed(shelf.nonce(), commits=commits, pages=pages)
        try:
            shelf.change_head(run, head, whole.etag)
        except UNDECIDED as error:
            retries.after(error)
            continue
        return Edited(whole.commits, changes)


def _applied(commits: tuple[Commit, ...], changes: Changes) -> tuple[Commit, ...]:
    changed = (changes.get(commit.id, commit) for commit in commits)
    return tuple(commit for commit in changed if commit is not None)


def _rewritten(
    shelf: Shelf, run: str, whole: WholeRun, changes: Changes, generation: int
) -> tuple[tuple[str, int], ...]:
    """Names of the pages with the changes in them; neighbours that change are packed together anew.

    Written after the head was read, and anew for each try: see `pages.turned`.
    """
    names: list[tuple[str, int]] = []
    stretch: list[Commit] = []

    def close() -> None:
        names.extend(write_pages(shelf, run, latest(stretch), generation))
        stretch.clear()

    for page in whole.pages:
        if _touches(page, changes):
            stretch.extend(_applied(page.commits, changes))
        else:
            close()
            names.append((page.name, page.size))
    close()
    return tuple(names)


def _touches(page: Page, changes: Changes) -> bool:
    return any(commit.id in changes for commit in page.commits)
