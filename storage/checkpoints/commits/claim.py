"""An attempt's claim to train a run: it holds as long as the run's head names the attempt as its writer."""

from collections.abc import Callable

from storage.checkpoints.commits.memory import Memory
from storage.checkpoints.errors import TakenOver
from storage.checkpoints.format.head import Commit, Head
from storage.checkpoints.format.shelf import Retries, Shelf
from storage.objects import LostRace, OutcomeUnknown, TryAgain

UNDECIDED = (LostRace, OutcomeUnknown, TryAgain)
"""After these, a changed head may or may not be there: read it to know, then try again."""


class Claim:
    """One attempt's claim to one run."""

    def __init__(self, shelf: Shelf, run: str, attempt: str) -> None:
        self.shelf, self.run, self.attempt = shelf, run, attempt
        self._successor: str | None = None

    def check(self) -> None:
        """Raise TakenOver if it is known to be lost."""
        if self._successor is not None:
            raise TakenOver(
                f"run {self.run!r} was taken over by attempt {self._successor!r};"
                f" attempt {self.attempt!r} cannot commit any more and must stop"
            )

    def read(self) -> tuple[Head, str]:
        """The run's head and its ETag. Raises TakenOver, RunMissing, Damaged."""
        head, etag = self.shelf.read_head(self.run)
        if head.writer != self.attempt:
            self._successor = head.writer
        self.check()
        return head, etag

    def edit(self, memory: Memory, what: str, edit: Callable[[Head], tuple[Commit, ...]]) -> Head:
        """Change fields of commits that a head has already, or drop some; the head as it is then.

        The memory takes the new head in, but is not settled: collections were not looked at.
        """
        retries = Retries(self.shelf, what)
        while True:
            memory.settled = False
            head, etag = self.read()
            memory.saw(head, etag)
            changed = head.changed(self.shelf.nonce(), commits=edit(head))
            if changed.commits == head.commits:
                return head
            try:
                memory.saw(changed, self.shelf.change_head(self.run, changed, etag))
                return changed
            except UNDECIDED as error:
                retries.after(error)
