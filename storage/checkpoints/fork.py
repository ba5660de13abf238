"""Begin a run with a commit of another one: its own manifest names the same packs; no tensor bytes."""

from dataclasses import replace

from storage.checkpoints.errors import Damaged, HeadLost, RunMissing
from storage.checkpoints.head import Commit
from storage.checkpoints.inspection import Inspector
from storage.checkpoints.manifest import Manifest
from storage.checkpoints.restore import (
    NEWEST,
    by_age,
    dropped_meanwhile,
    locate,
    nothing_complete,
)
from storage.checkpoints.shelf import Retries, Shelf
from storage.objects import LostRace


class Branch:
    """A `Content` that another run's commit holds; its bytes are not in this process's memory."""

    def __init__(self, shelf: Shelf, parent: str, commit: Commit, run: str, attempt: str) -> None:
        self.id = commit.id
        self.learned = 0
        self.written: dict[str, Manifest] = {}
        self._shelf, self._parent, self._run, self._attempt = shelf, parent, run, attempt
        self._retries = Retries(shelf, f"forking {parent}/{commit.id}")

    def store(self) -> Commit:
        """See `Content`. Raises CommitMissing, Damaged."""
        self.learned = self._shelf.newest_collection()  # before the head that tells what is reused
        commit, theirs = parent_commit(self._shelf, self._parent, self.id)
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
        """See `Content`. A list may hold what a head named in time: then only the next collection helps."""
        self._retries.after(
            LostRace(
                f"collection {newest} has condemned objects of it; choose another commit, or collect again"
            )
        )


def parent_commit(shelf: Shelf, run: str, wanted: str) -> tuple[Commit, Manifest]:
    """The commit to fork from, which is complete: the newest such, or as `find_commit`.

    Raises:
        RunMissing, CommitMissing, Damaged: there is none such, or it is not complete.
        HeadLost: nobody can tell the run's commits.
    """
    try:
        return _complete(shelf, run, wanted)
    except RunMissing:
        if shelf.has_lost_head(run):
            raise HeadLost(
                f"run {run!r} has checkpoints, but its head, which names them, is lost: `carousel checkpoints"
                f" repair {run}` rebuilds it"
            ) from None
        raise


def _complete(shelf: Shelf, run: str, wanted: str) -> tuple[Commit, Manifest]:
    inspector = Inspector(shelf, run)
    if wanted != NEWEST:
        commit = locate(shelf, run, wanted)
        with dropped_meanwhile(shelf, run, commit):
            verdict = inspector.look(commit)
            if verdict.manifest is None or verdict.trouble:
                raise Damaged(f"{run}/{commit.id} is not whole: {verdict.trouble}; choose another commit")
        return commit, verdict.manifest
    notes = []
    for commit in by_age(shelf, run):
        verdict = inspector.look(commit)
        if verdict.manifest is not None and not verdict.trouble:
            return commit, verdict.manifest
        notes.append(f"passed over {run}/{commit.id} of step {commit.step}: {verdict.trouble}")
    raise nothing_complete(run, notes)
