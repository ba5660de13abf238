"""Choose a commit and read it back, passing over damaged ones only where the newest was asked for."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from storage.checkpoints.errors import CommitMissing, Damaged, RunMissing
from storage.checkpoints.format import names
from storage.checkpoints.format.head import Commit, newest_first
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.pages import read_whole
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.restore.reading import read_tensors
from storage.checkpoints.restore.rows import Rows, read_rows
from storage.checkpoints.tensor import Tensor

T = TypeVar("T")

NEWEST = names.NEWEST
_PREFIX = 4
"""Digits that at least must be given of an id."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a commit held."""

    commit: Commit
    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    skipped: tuple[str, ...] = ()
    """Plain words about each newer commit that was passed over because it is damaged."""
    read_bytes: int = 0
    """Of packs: what was fetched for it, chunks that others are predicted from included."""
    manifest: Manifest | None = field(default=None, repr=False)
    """Where it lies."""


def find_commit(run: str, commits: tuple[Commit, ...], wanted: str) -> Commit:
    """The commit that an id, a tag, or the first digits of an id name. Raises CommitMissing."""
    tagged = [commit for commit in commits if wanted in commit.tags]
    begins = [commit for commit in commits if len(wanted) >= _PREFIX and commit.id.startswith(wanted)]
    exact = [commit for commit in begins if commit.id == wanted]
    found = exact or newest_first(tuple(tagged))[:1] or begins
    if len(found) == 1:
        return found[0]
    if found:
        raise CommitMissing(
            f"{wanted!r} begins the ids of {len(found)} commits of run {run!r}; give more digits"
        )
    newest = ", ".join(f"{commit.id} (step {commit.step})" for commit in newest_first(commits)[:5])
    raise CommitMissing(f"run {run!r} has no commit {wanted!r}; its newest: {newest or 'none'}")


def locate(shelf: Shelf, run: str, wanted: str) -> Commit:
    """As `find_commit`; pages are read only if the head does not have this very id."""
    head, _ = shelf.read_head(run)
    if not head.pages:
        return find_commit(run, head.commits, wanted)
    return head.find(wanted) or find_commit(run, read_whole(shelf, run).commits, wanted)


def restore_one(shelf: Shelf, run: str, wanted: str, names: Collection[str] | None) -> Restored:
    """Restore the commit that an id, its first digits, or a tag names. Raises as `Repository.restore`."""
    commit = locate(shelf, run, wanted)
    with dropped_meanwhile(shelf, run, commit):
        return _read(shelf, run, commit, names)


def restore_newest(
    shelf: Shelf, run: str, names: Collection[str] | None
) -> tuple[Restored | None, list[str], list[str]]:
    """The newest commit that can be read.

    Returns:
        It, or None if there is none; plain words about each one passed over; ids of those found damaged now.
    """
    notes: list[str] = []
    damaged: list[str] = []
    for commit in by_age(shelf, run):
        place = f"passed over {run}/{commit.id} of step {commit.step}"
        if commit.damaged:
            notes.append(f"{place}: it was found damaged before")
            continue
        try:
            restored = _read(shelf, run, commit, names)
        except Damaged as error:
            if is_named(shelf, run, commit):
                notes.append(f"{place}: {error}")
                damaged.append(commit.id)
            else:
                notes.append(f"{place}: it was dropped while it was read")
            continue
        return replace(restored, skipped=tuple(notes)), notes, damaged
    return None, notes, damaged


def nothing_complete(run: str, notes: list[str]) -> CommitMissing:
    """The error for a run without a commit that can be read."""
    return CommitMissing("; ".join([f"run {run!r} has no complete commit", *notes]))


def by_age(shelf: Shelf, run: str) -> Iterator[Commit]:
    """Newest first. Pages hold only older commits, so they are read last. Raises RunMissing, Damaged."""
    head, _ = shelf.read_head(run)
    yield from newest_first(head.commits)
    if head.pages:
        known = {commit.manifest for commit in head.commits}
        whole = read_whole(shelf, run)
        yield from (it for it in newest_first(whole.entries) if it.manifest not in known)


def restore_rows(shelf: Shelf, run: str, wanted: str, rows: Sequence[Rows]) -> tuple[list[Tensor], int]:
    """Rows of a commit, and the bytes fetched for them. Raises as `Repository.restore_rows`."""

    def read(commit: Commit) -> tuple[list[Tensor], int]:
        return read_rows(shelf.files, shelf.read_manifest(run, commit), rows, f"{run}/{commit.id}")

    commit = locate(shelf, run, wanted)
    with dropped_meanwhile(shelf, run, commit):
        return _where_it_lies(shelf, run, commit, read)


def _read(shelf: Shelf, run: str, commit: Commit, names: Collection[str] | None) -> Restored:
    return _where_it_lies(shelf, run, commit, lambda now: _read_as_named(shelf, run, now, names))


def _where_it_lies(shelf: Shelf, run: str, commit: Commit, read: Callable[[Commit], T]) -> T:
    """Raises Damaged. A commit that is repacked meanwhile is read again, from where it lies now."""
    while True:
        try:
            return read(commit)
        except Damaged:
            now = next((it for it in _entries(shelf, run) if it.id == commit.id), None)
            if now is None or now.manifest == commit.manifest:
                raise
            commit = now


def _read_as_named(shelf: Shelf, run: str, commit: Commit, names: Collection[str] | None) -> Restored:
    manifest = shelf.read_manifest(run, commit)
    tensors, read = read_tensors(shelf.files, manifest, names, f"{run}/{commit.id}")
    return Restored(commit, tensors, dict(manifest.meta), read_bytes=read, manifest=manifest)


@contextmanager
def dropped_meanwhile(shelf: Shelf, run: str, commit: Commit) -> Iterator[None]:
    """Tell a commit that retention has dropped since its head was read from a damaged one: CommitMissing."""
    try:
        yield
    except Damaged as error:
        if is_named(shelf, run, commit):
            raise
        raise CommitMissing(
            f"{run}/{commit.id} was dropped while it was read; choose another commit, or pin one to keep it"
        ) from error


def is_named(shelf: Shelf, run: str, commit: Commit) -> bool:
    """Whether the run's head names this very commit now."""
    return any(known.manifest == commit.manifest for known in _entries(shelf, run))


def _entries(shelf: Shelf, run: str) -> Iterator[Commit]:
    """What the run's head and its pages name now, the last written first; pages are read last."""
    try:
        head, _ = shelf.read_head(run)
        yield from reversed(head.commits)
        if head.pages:
            yield from reversed(read_whole(shelf, run).entries)
    except RunMissing:
        return
