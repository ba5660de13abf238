"""Begin a run with a commit of another one: its own manifest names the same packs; no tensor bytes."""

from dataclasses import replace

from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.shelf import Retries, Shelf
from storage.checkpoints.restore.complete import find_complete
from storage.objects import LostRace


class Branch:
    """A `Content` that another run's commit holds; its bytes are not in this process's memory.

    Tags, pins and notes stay behind: who set them meant the other run's commit.
    """

    def __init__(self, shelf: Shelf, parent: str, commit: Commit, run: str, attempt: str) -> None:
        self.id = commit.id
        self.learned = 0
        self.written: dict[str, Manifest] = {}
        self._shelf, self._parent, self._run, self._attempt = shelf, parent, run, attempt
        self._retries = Retries(shelf, f"forking {parent}/{commit.id}")

    def store(self) -> Commit:
        """See `Content`. Raises CommitMissing, Damaged."""
        self.learned = self._shelf.newest_collection()  # before the head that tells what is reused
        origin = find_complete(self._shelf, self._parent, self.id)
        manifest = replace(origin.manifest, run=self._run, attempt=self._attempt, created=self._shelf.clock())
        name, size = self._shelf.write_manifest(self._run, manifest, self.learned)
        self.written[name] = manifest
        return replace(
            origin.commit,
            attempt=self._attempt,
            manifest=name,
            manifest_bytes=size,
            new_bytes=size,
            created=manifest.created,
            tags=(),
            pins=(),
            note="",
        )

    def store_again(self, commit: Commit, condemned: set[str], newest: int) -> None:
        """See `Content`. A list may hold what a head named in time: then only the next collection helps."""
        self._retries.after(
            LostRace(
                f"collection {newest} has condemned objects of it; choose another commit, or collect again"
            )
        )
