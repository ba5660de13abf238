"""Take back a drop, as long as no collection has condemned what the commits need.

A dropped commit's manifest and packs stay where they are until they are collected. Naming them again is
safe only if they stand in no list of any collection: one that has may be deleting them right now.
"""

from collections.abc import Collection

from storage.checkpoints.claim import UNDECIDED
from storage.checkpoints.errors import CommitMissing
from storage.checkpoints.head import Commit
from storage.checkpoints.inspection import Inspector
from storage.checkpoints.names import generation, manifest_key, pack_key
from storage.checkpoints.pages import turned
from storage.checkpoints.shelf import Retries, Shelf


def undo_drop(shelf: Shelf, run: str, commits: Collection[Commit]) -> None:
    """Let the run's head name these commits again, with their tags, pins and notes.

    Those that it names already are left as they are. Reads every list since the oldest object was written.

    Args:
        shelf: the repository.
        run: whose commits.
        commits: as `Dropped.dropped` gave them.

    Raises:
        CommitMissing: something that one of them needs is condemned, missing or damaged. Nothing was changed.
        RunMissing, CommitFailed.
    """
    needed = {key: commit for commit in commits for key in _needed(shelf, run, commit)}
    oldest = min((generation(key.rpartition("/")[2]) for key in needed), default=0)
    retries = Retries(shelf, f"taking back dropped commits of run {run!r}")
    while True:
        head, etag = shelf.read_head(run)
        lacking = [commit for commit in commits if head.find(commit.id) is None]
        if not lacking:
            return
        newest = shelf.newest_collection()  # after the head was read: a later one changes it, and we lose
        condemned = shelf.condemned(oldest, newest)
        for key, commit in needed.items():
            if key in condemned:
                raise CommitMissing(
                    f"{run}/{commit.id} cannot be taken back: a collection has condemned {key}"
                )
        changed = head.changed(shelf.nonce(), commits=(*lacking, *head.commits))
        try:
            shelf.change_head(run, turned(shelf, run, changed, newest), etag)
        except UNDECIDED as error:
            retries.after(error)
            continue
        return


def _needed(shelf: Shelf, run: str, commit: Commit) -> list[str]:
    """Keys of all that a commit needs, which is there. Raises CommitMissing."""
    verdict = Inspector(shelf, run).look(commit)
    if verdict.manifest is None or (verdict.trouble and not commit.damaged):
        raise CommitMissing(f"{run}/{commit.id} cannot be taken back: {verdict.trouble}")
    return [manifest_key(run, commit.manifest), *(pack_key(pack) for pack in verdict.manifest.packs)]
