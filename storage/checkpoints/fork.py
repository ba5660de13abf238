"""Begin a run with a commit of another one: its own manifest names the same packs; no tensor bytes."""

from dataclasses import replace

from storage.checkpoints.errors import Damaged
from storage.checkpoints.head import Commit, newest_first
from storage.checkpoints.manifest import Manifest
from storage.checkpoints.restore import NEWEST, all_commits, dropped_meanwhile, find_commit
from storage.checkpoints.shelf import Shelf


class Branch:
    """A `Content` that another run's commit holds; its bytes are not in this process's memory."""

    def __init__(self, shelf: Shelf, parent: str, commit: Commit, run: str, attempt: str) -> None:
        self.id = commit.id
        self.learned = 0
        self.written: dict[str, Manifest] = {}
        self._shelf, self._parent, self._run, self._attempt = shelf, parent, run, attempt

    def store(self) -> Commit:
        """See `Content`. Raises CommitMissing, Damaged."""
        self.learned = self._shelf.newest_collection()  # before the head that tells what is reused
        commit = parent_commit(self._shelf, self._parent, self.id)
        with dropped_meanwhile(self._shelf, self._parent, commit):
            theirs = self._shelf.read_manifest(self._parent, commit)
        manifest = replace(theirs, run=self._run, attempt=self._attempt, created=self._shelf.clock())
        name, size = self._shelf.write_manifest(self._run, manifest, self.learned)
        self.written[name] = manifest
        return replace(
            commit,
            attempt=self._attempt,
            manifest=name,
            manifest_bytes=size,
            new_bytes=size,
            created=manifest.created,
            tags=(),
        )

    def store_again(self, commit: Commit, condemned: set[str], newest: int) -> None:
        """See `Content`."""


def parent_commit(shelf: Shelf, run: str, wanted: str) -> Commit:
    """The commit to fork from: the newest, or as `find_commit`. Raises CommitMissing, Damaged."""
    head, _ = shelf.read_head(run)
    commits = all_commits(shelf, run, head)
    if wanted == NEWEST:
        wanted = next((c.id for c in newest_first(commits) if not c.damaged), NEWEST)
    commit = find_commit(run, commits, wanted)
    if commit.damaged:
        raise Damaged(f"{run}/{commit.id} is damaged and cannot be forked; choose another commit")
    return commit
