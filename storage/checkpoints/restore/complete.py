"""Find a commit that is complete: the one that was asked for, or the newest such, with what was passed over.

Complete: its manifest parses and has its id, its packs are there with their recorded sizes. Bytes are not
read here: who reads them and finds them wrong tells the `Choice`, which then passes over the commit.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.restore.choosing import (
    NEWEST,
    by_age,
    dropped_meanwhile,
    is_named,
    locate,
    nothing_complete,
)
from storage.checkpoints.restore.inspection import Inspector

T = TypeVar("T")


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
    return Choice(shelf, run, wanted).found


def read_complete(shelf: Shelf, run: str, wanted: str, read: Callable[[Complete], T]) -> T:
    """What `read` makes of the commit; of "newest", of the newest one whose bytes it does not find damaged.

    Raises:
        RunMissing, CommitMissing, Damaged: there is none such.
    """
    choice = Choice(shelf, run, wanted)
    while True:
        try:
            return read(choice.found)
        except Damaged as error:
            choice.pass_over(error)


class Choice:
    """A commit that was asked for, and of "newest" the next older one wherever its bytes are damaged."""

    found: Complete

    def __init__(self, shelf: Shelf, run: str, wanted: str) -> None:
        """Raises RunMissing, CommitMissing, Damaged: there is none such, or it is not complete."""
        self._shelf, self._run = shelf, run
        self._notes: list[str] = []
        self._older: Iterator[Complete] | None = None
        if wanted == NEWEST:
            self._older = self._complete()
            self._next()
        else:
            self.found = self._named(wanted)

    def pass_over(self, error: Damaged) -> None:
        """Choose the next older commit, as what `found` stores is damaged.

        Raises:
            Damaged: `error`, as this very commit was asked for.
            CommitMissing: it was dropped meanwhile, or no other one is complete.
        """
        commit = self.found.commit
        if self._older is None:
            with dropped_meanwhile(self._shelf, self._run, commit):
                raise error
        named = is_named(self._shelf, self._run, commit)
        self._note(commit, str(error) if named else "it was dropped while it was read")
        self._next()

    def _named(self, wanted: str) -> Complete:
        commit = locate(self._shelf, self._run, wanted)
        with dropped_meanwhile(self._shelf, self._run, commit):
            verdict = Inspector(self._shelf, self._run).look(commit)
            if verdict.manifest is None or verdict.trouble:
                raise Damaged(
                    f"{self._run}/{commit.id} is not whole: {verdict.trouble}; choose another commit"
                )
        return Complete(commit, verdict.manifest)

    def _next(self) -> None:
        assert self._older is not None
        found = next(self._older, None)
        if found is None:
            raise nothing_complete(self._run, self._notes)
        self.found = found

    def _complete(self) -> Iterator[Complete]:
        inspector = Inspector(self._shelf, self._run)
        for commit in by_age(self._shelf, self._run):
            verdict = inspector.look(commit)
            if verdict.manifest is not None and not verdict.trouble:
                yield Complete(commit, verdict.manifest, tuple(self._notes))
            else:
                self._note(commit, str(verdict.trouble))

    def _note(self, commit: Commit, trouble: str) -> None:
        self._notes.append(f"passed over {self._run}/{commit.id} of step {commit.step}: {trouble}")
