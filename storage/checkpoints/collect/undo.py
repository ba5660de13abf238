"""Take back a drop, as long as what the commits need is still there.

A dropped commit's manifest and packs stay where they are until they are collected. Naming them again is safe
only if they stand in no list of any collection: one that has condemned them may be deleting them right now.
Then their bytes are read, checked by hash, and stored anew.
"""

from collections.abc import Collection
from dataclasses import replace

from storage.checkpoints.collect.unreadable import maybe_condemned
from storage.checkpoints.commits.claim import UNDECIDED, Claim
from storage.checkpoints.commits.edits import Changes, edit_run
from storage.checkpoints.commits.landing import land
from storage.checkpoints.commits.memory import Memory
from storage.checkpoints.errors import CommitMissing, Damaged
from storage.checkpoints.format.head import Commit, Head
from storage.checkpoints.format.names import generation, manifest_key, pack_key
from storage.checkpoints.format.pages import turned
from storage.checkpoints.format.shelf import Retries, Shelf
from storage.checkpoints.restore.inspection import Inspector
from storage.checkpoints.restore.reading import read_tensors
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.save.state import State


def undo_drop(shelf: Shelf, run: str, commits: Collection[Commit]) -> None:
    """Let the run's head name these commits again, with their tags, pins and notes.

    Those that it names already are left as they are. Reads every list since the oldest object was written. A
    commit that is stored anew is held in memory as a whole.

    Args:
        shelf: the repository.
        run: whose commits.
        commits: as `Dropped.dropped` gave them.

    Raises:
        CommitMissing: something that one of them needs is gone by now.
        RunMissing, CommitFailed.
    """
    for commit in _name_again(shelf, run, commits):
        try:
            _store_again(shelf, run, commit)
        except Damaged as error:
            raise CommitMissing(f"{run}/{commit.id} cannot be taken back: {error}") from error


def _name_again(shelf: Shelf, run: str, commits: Collection[Commit]) -> list[Commit]:
    """Name all those that no collection has condemned, in one change of the head; the others."""
    needed = {commit.id: _needed(shelf, run, commit) for commit in commits}
    oldest = min((generation(key.rpartition("/")[2]) for keys in needed.values() for key in keys), default=0)
    retries = Retries(shelf, f"taking back dropped commits of run {run!r}")
    while True:
        head, etag = shelf.read_head(run)
        newest = shelf.newest_collection()  # after the head was read: a later one changes it, and we lose
        condemned = maybe_condemned(shelf, set[str]().union(*needed.values()), oldest, newest)
        lacking = [commit for commit in commits if head.find(commit.id) is None]
        lost = [commit for commit in lacking if needed[commit.id] & condemned]
        whole = [commit for commit in lacking if not needed[commit.id] & condemned]
        if not whole:
            return lost
        changed = head.changed(shelf.nonce(), commits=(*whole, *head.commits))
        try:
            shelf.change_head(run, turned(shelf, run, changed, newest), etag)
        except UNDECIDED as error:
            retries.after(error)
            continue
        return lost


def _needed(shelf: Shelf, run: str, commit: Commit) -> set[str]:
    """Keys of all that a commit needs, which is there. Raises CommitMissing."""
    verdict = Inspector(shelf, run).look(commit)
    if verdict.manifest is None or (verdict.trouble and not commit.damaged):
        raise CommitMissing(f"{run}/{commit.id} cannot be taken back: {verdict.trouble}")
    return {manifest_key(run, commit.manifest), *map(pack_key, verdict.manifest.packs)}


class _Guest(Claim):
    """Somebody who changes a run and does not train it: its trainer's claim stays what it is."""

    def check(self) -> None:
        """See `Claim`."""

    def read(self) -> tuple[Head, str]:
        """See `Claim`."""
        return self.shelf.read_head(self.run)


def _store_again(shelf: Shelf, run: str, commit: Commit) -> None:
    """Commit the same content anew; chunks that other commits hold are not stored again. Raises Damaged."""
    newest = shelf.newest_collection()  # before anything is read that may be reused
    head, etag = shelf.read_head(run)
    memory = Memory.of(head, etag, newest, Inspector(shelf, run).newest(head))
    manifest = shelf.read_manifest(run, commit)
    tensors, _ = read_tensors(shelf.files, manifest, None, f"{run}/{commit.id}")
    claim = _Guest(shelf, run, commit.attempt)
    draft = Draft.of(tensors, manifest.meta, commit.step, shelf.identity)
    landed = land(
        claim,
        memory,
        State.of(claim, memory, draft, commit.metrics, commit.tags),
        f"taking back {run}/{commit.id}",
        metrics=commit.metrics,
        tags=commit.tags,
        kept=lambda commits, _: commits,
    )
    if commit.pins or commit.note:
        dressed = replace(landed, pins=commit.pins, note=commit.note)

        def dress(commits: tuple[Commit, ...]) -> Changes:
            return {it.id: dressed for it in commits if it.manifest == dressed.manifest and it != dressed}

        edit_run(shelf, run, f"marking {run}/{commit.id}", dress)
