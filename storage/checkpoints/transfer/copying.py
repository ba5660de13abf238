"""Copy commits into another repository: another bucket, server, or key.

Every tensor is read, checked by hash, and saved as a trainer would, in the order of steps: what stores least
is chosen anew, what the source has taken among it. So nothing rests on what is not copied, and under another
key all names and bytes are of that key. Commits keep what is said of them. Their ids stay too, unless one of
the repositories is encrypted: an id is a hash of what a commit holds, and a keyed hash there, so that it
tells nothing to who lacks the key.

Each commit lands by itself. A copy that was cut short goes on when it is asked for again, and one that is
done adds nothing. Memory: two commits of the run.
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass

from storage.checkpoints.commits.said import Said
from storage.checkpoints.errors import CommitMissing, Damaged, RunExists, RunMissing, SameRepository
from storage.checkpoints.format.head import Commit, Parent
from storage.checkpoints.format.names import checked_word
from storage.checkpoints.format.pages import WholeRun, read_whole
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.progress import Progress, silent
from storage.checkpoints.repository import Repository
from storage.checkpoints.restore.complete import find_complete
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.save.inherited import Inheritance
from storage.checkpoints.save.writer import RunWriter

_WRITER = "copy-"
"""Begins the name of whoever writes a copy: so a run that is trained is never taken for one."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did."""

    run: str
    """Its name at the target."""
    commits: tuple[tuple[Commit, Commit], ...]
    """Each that was copied: as the source names it, and as the target does."""
    there: int
    """Commits that the target had already."""
    left_out: tuple[str, ...] = ()
    """Plain words about each commit that could not be read."""

    @property
    def raw_bytes(self) -> int:
        """Of all tensors of what was copied."""
        return sum(commit.raw_bytes for _, commit in self.commits)

    @property
    def stored_bytes(self) -> int:
        """That the target grew by; its head is not counted."""
        return sum(commit.new_bytes for _, commit in self.commits)


def copy_commits(
    source: Repository,
    run: str,
    target: Repository,
    *,
    commit: str | None = None,
    name: str | None = None,
    progress: Progress = silent,
) -> Copied:
    """Copy a run, or one commit of it.

    Args:
        source: where from.
        run: the run.
        target: where to; it must be another repository.
        commit: an id, its first digits, a tag, or "newest"; None: every commit that is whole.
        name: of the run at the target; None: as at the source.
        progress: told how many raw bytes of commits are copied; those that are read, and not stored yet,
            count half.

    Raises:
        RunMissing, CommitMissing, Damaged: there is no such commit, or it cannot be read.
        RunExists: the target has a run of this name that is no copy of this one.
        SameRepository: it would be copied onto itself.
        WrongKey: one of the repositories is encrypted, and no key was given.
        TakenOver: another copy of the run has begun.
    """
    name = checked_word(name or run, "run")
    for repository in (source, target):
        repository.shelf.identity.digest(b"")  # refuses a missing key before anything is written
    theirs = read_whole(source.shelf, run)
    _refuse_itself(target.shelf, run, theirs)
    if commit is None:
        healthy = [it for it in theirs.commits if not it.damaged]
        wanted = sorted(healthy, key=lambda it: it.step)
        left_out = [_unread(run, it, "it was found damaged before") for it in theirs.commits if it.damaged]
    else:
        found = find_complete(source.shelf, run, commit)
        wanted, left_out = [found.commit], list(found.skipped)
    ours = _copy_so_far(target.shelf, name, run, theirs)
    known = _Known(ours, source.shelf, target.shelf)
    missing = [it for it in wanted if not known.has(it)]
    copied: list[tuple[Commit, Commit]] = []
    writer: RunWriter | None = None
    inheritance: Inheritance | None = None
    total, done = sum(it.raw_bytes for it in missing), 0
    for number, one in enumerate(missing, start=1):
        what = f"copying bytes, commit {number:,} of {len(missing):,}"
        progress(what, done, total)
        done += one.raw_bytes
        try:
            restored = source.restore(run, one.id)
        except (CommitMissing, Damaged) as error:
            if commit is not None:
                raise
            left_out.append(_unread(run, one, str(error)))
            continue
        if writer is None:
            parent = _parent_at(target.shelf, source, run, theirs)
            writer = _begin(target, name, ours, parent)
        progress(what, done - one.raw_bytes // 2, total)
        assert restored.manifest is not None
        inheritance = Inheritance(restored.manifest, inheritance)
        new = writer.save_said(
            restored.tensors,
            restored.meta,
            step=one.step,
            said=Said.of(restored.commit),
            inheritance=inheritance,
        )
        progress(what, done, total)
        copied.append((restored.commit, new))
        del restored  # the next one is read into memory before the name is bound anew
    return Copied(name, tuple(copied), len(wanted) - len(missing), tuple(left_out))


class _Known:
    """Which commits of the source a target has."""

    def __init__(self, ours: WholeRun | None, source: Shelf, target: Shelf) -> None:
        self._same_names = _same_names(source, target)
        commits = () if ours is None else ours.commits
        self._known = {self._key(it) for it in commits if not it.damaged}

    def has(self, commit: Commit) -> bool:
        return self._key(commit) in self._known

    def _key(self, commit: Commit) -> tuple[object, ...]:
        """By its id; under another key by its origin, for the id there is known only once all is read."""
        if self._same_names:
            return (commit.id,)
        return commit.attempt, commit.created, commit.step, commit.raw_bytes


def _same_names(source: Shelf, target: Shelf) -> bool:
    return not source.identity.sealed and not target.identity.sealed


def _refuse_itself(target: Shelf, run: str, theirs: WholeRun) -> None:
    """By the nonce of the run's head, which no two heads share: an address may be written in many ways."""
    try:
        head, _ = target.read_head(run)
    except RunMissing:
        return
    if head.nonce == theirs.head.nonce:
        raise SameRepository(
            f"the repository at {target.place!r} is the one that run {run!r} would be copied from; name"
            " another one"
        )


def _copy_so_far(target: Shelf, name: str, run: str, theirs: WholeRun) -> WholeRun | None:
    """The run at the target; None: it has none of this name. Raises RunExists."""
    try:
        ours = read_whole(target, name)
    except RunMissing:
        return None
    attempts = {commit.attempt for commit in theirs.commits}
    related = not ours.commits or any(commit.attempt in attempts for commit in ours.commits)
    if ours.head.writer.startswith(_WRITER) and related:
        return ours
    raise RunExists(
        f"the target has a run {name!r} already that is no copy of run {run!r}: {len(ours.commits)} commits,"
        f" last written by attempt {ours.head.writer!r}; give the copy another name"
    )


def _begin(target: Repository, name: str, ours: WholeRun | None, parent: Parent | None) -> RunWriter:
    attempt = _WRITER + secrets.token_hex(6)
    if ours is None:
        return RunWriter.create(target, name, attempt, parent=parent)
    writer = RunWriter.take_over(target, name, attempt)
    if writer.head.commits:
        with suppress(CommitMissing):
            writer.resume()  # only so that the next commit can rest on it
    return writer


def _parent_at(target: Shelf, source: Repository, run: str, theirs: WholeRun) -> Parent | None:
    """What the run was forked from, by the id that its commit has at the target.

    A fork begins with that very commit. Where it is gone, what is left is its id at the source.
    """
    parent = theirs.head.parent
    if parent is None or _same_names(source.shelf, target):
        return parent
    for place in (run, parent.run):
        try:
            found = source.restore(place, parent.commit)
        except (RunMissing, CommitMissing, Damaged):
            continue
        draft = Draft.of(found.tensors, found.meta, found.commit.step, target.identity)
        return Parent(parent.run, draft.id)
    return parent


def _unread(run: str, commit: Commit, why: str) -> str:
    return f"{run}/{commit.id} of step {commit.step}: {why}"
