"""The saves that are not durable yet, in the order asked for, and who may work on which of them.

Three threads meet here: the caller's, which adds saves; one that commits them, always the oldest; and, with
a spool, one that moves them from memory to the spool while the bucket is out. Everything that they share is
in this class, behind one lock; what takes time (a copy, an upload, a file) happens outside it.
"""

import threading
import time
from collections.abc import Callable, Collection

from storage.checkpoints.background.pending import PendingSave
from storage.checkpoints.background.spool import Spooled
from storage.checkpoints.errors import NotDurable, SaveDropped, SavingEnded, TakenOver
from storage.checkpoints.format.head import Commit

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 15.0
"""Between two tries to reach a bucket that is out."""


class Backlog:
    """Saves on their way. `release` gets back the memory of a save that needs it no more."""

    def __init__(self, release: Callable[[PendingSave], None]) -> None:
        self._release = release
        self._changed = threading.Condition()
        self._saves: list[PendingSave] = []
        self._committing: PendingSave | None = None
        self._spooling: PendingSave | None = None
        self._failures: list[BaseException] = []
        self._out, self._wait_s, self._retry_at = False, _FIRST_WAIT_S, 0.0
        self._ended = False
        self._broken: BaseException | None = None
        self.newest: Commit | None = None
        """The commit that has landed last."""
        self.stored_bytes = 0
        """New bytes of all that have landed."""

    # The caller's thread.

    @property
    def failed(self) -> BaseException | None:
        """What `raise_failure` would raise."""
        return self._failures[0] if self._failures else self._broken

    def raise_failure(self) -> None:
        """Raise what a save has failed of, each once; `TakenOver`, and a thread's end, every time."""
        with self._changed:
            if not self._failures:
                if self._broken is None:
                    return
                raise SavingEnded(
                    f"saving beside training has ended by a fault: {self._broken!r}; nothing is saved any"
                    " more: end this training and resume it"
                ) from self._broken
            if isinstance(self._failures[0], TakenOver):
                raise self._failures[0]
            raise self._failures.pop(0)

    def wait_for_room(self, most: int) -> None:
        """Return when fewer than `most` saves are held in memory. Raises what a save has failed of."""
        with self._changed:
            self._changed.wait_for(lambda: self._failures or self._ended or self._held() < most)
        self.raise_failure()
        self.refuse_if_closed()

    def refuse_if_closed(self) -> None:
        """Raises SavingEnded: nobody would commit what is added."""
        if self._ended:
            raise SavingEnded("this background writer is closed; make a new one to save again")

    def add(self, save: PendingSave) -> None:
        """Put a save behind all others. Raises SavingEnded, or what a save has failed of."""
        with self._changed:
            if self._ended:
                self._release(save)
                self.raise_failure()
                self.refuse_if_closed()
            self._saves.append(save)
            self._changed.notify_all()

    def add_instead(self, save: PendingSave) -> None:
        """Put a save in the place of all that is not under way, and try at once."""
        with self._changed:
            for other in [it for it in self._saves if it is not self._committing]:
                self._drop(other, f"was skipped for step {save.step}, as the process is to end")
            self._saves.append(save)
            self._retry_at = 0.0
            self._changed.notify_all()

    def wait_for(self, save: PendingSave, until: float, *, spooled: bool) -> None:
        """Return when a save has come to its end, or at `until`; with `spooled`, not before it is safe."""
        with self._changed:
            left = max(0.0, until - time.monotonic())
            self._changed.wait_for(lambda: self._ended or save.future.done(), left)
            if spooled:
                self._changed.wait_for(
                    lambda: self._ended or save.future.done() or save.entry or save.unspoolable,
                    _LONGEST_WAIT_S,
                )
            if save.future.done() and (error := save.future.exception()) in self._failures:
                self._failures.remove(error)  # told to who waits here

    def wait_until_durable(self, timeout_s: float | None) -> list[PendingSave]:
        """Wait for all saves; what is left after `timeout_s`. Raises what a save has failed of."""
        with self._changed:
            self._changed.wait_for(lambda: self._failures or self._ended or not self._saves, timeout_s)
            left = list(self._saves)
        self.raise_failure()
        return left

    def wait_until_safe(self, timeout_s: float | None) -> list[PendingSave]:
        """Wait until all saves are durable, or in an outage in the spool; what is left. Ends the threads."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or all(self._is_safe(save) for save in self._saves), timeout_s
            )
            self._ended = True
            for save in self._saves:
                if save is not self._committing:
                    self._give_up(save)
            self._changed.notify_all()
            return list(self._saves)

    @property
    def committing(self) -> bool:
        """Whether a save is under way to the bucket."""
        return self._committing is not None

    # The thread that commits.

    def next_to_commit(self) -> PendingSave | None:
        """Wait for the oldest save; None: there will be none."""
        with self._changed:
            while not self._ended:
                wait_s = None
                if self._saves and (self._saves[0] is not self._spooling or self._saves[0].urgent):
                    wait_s = self._retry_at - time.monotonic() if self._out else 0.0
                    if wait_s <= 0:
                        self._committing = self._saves[0]
                        return self._committing
                self._changed.wait(wait_s)
            return None

    def has_landed(self, save: PendingSave, commit: Commit) -> bool:
        """A save is durable; whether that ends an outage."""
        with self._changed:
            ended, self._out, self._wait_s = self._out, False, _FIRST_WAIT_S
            self.newest, self._committing = commit, None
            self.stored_bytes += commit.new_bytes
            self._leave(save)
            save.future.set_result(commit)
            self._changed.notify_all()
            return ended

    def is_out(self, save: PendingSave) -> bool:
        """A save could not reach the bucket and stays; whether that begins an outage."""
        with self._changed:
            begins, self._out, self._committing = not self._out, True, None
            self._retry_at = time.monotonic() + self._wait_s
            self._wait_s = min(_LONGEST_WAIT_S, 2 * self._wait_s)
            if save.dropped:
                self._drop(save, save.dropped)
            elif self._ended:
                self._give_up(save)
            self._changed.notify_all()
            return begins

    def has_failed(self, save: PendingSave, error: BaseException) -> None:
        """A save failed for good."""
        with self._changed:
            self._committing = None
            if save.dropped:  # its file is gone
                self._drop(save, save.dropped)
            else:
                self._leave(save)
                save.future.set_exception(error)
                self._failures.append(error)
            self._changed.notify_all()

    def complains(self, error: BaseException) -> None:
        """Something beside a save failed, such as telling of it: raised to the caller, and saving goes on."""
        with self._changed:
            self._failures.append(error)
            self._changed.notify_all()

    def broke(self, error: BaseException, *, committer: bool) -> None:
        """A thread (`committer`: that which commits) has ended by a fault: what waits is given up."""
        with self._changed:
            self._failures.append(error)
            self._ended, self._broken = True, error
            if committer:
                self._committing = None
            else:
                self._spooling = None
            for save in self._saves:
                if save is not self._committing:
                    self._give_up(save)
            self._changed.notify_all()

    # The thread that spools.

    def next_to_spool(self) -> PendingSave | None:
        """Wait for a save that only memory holds while the bucket is out; None: there will be none."""
        with self._changed:
            while not self._ended:
                for save in self._saves:
                    idle = self._out and save is not self._committing
                    if save.entry is None and not save.unspoolable and (idle or save.urgent):
                        self._spooling = save
                        return save
                self._changed.wait()
            return None

    def has_spooled(
        self, save: PendingSave, entry: Spooled, dropped: Collection[Spooled]
    ) -> list[PendingSave]:
        """The spool holds a save, and dropped others; which of ours those were."""
        with self._changed:
            self._spooling, save.entry = None, entry
            if not save.urgent:
                self._release(save)
            lost = [other for other in self._saves if other.entry in dropped]
            for other in lost:
                other.dropped = f"left the spool to make room for step {save.step}"
                if other is not self._committing:
                    self._drop(other, other.dropped)
            self._changed.notify_all()
            return lost

    def cannot_spool(self, save: PendingSave) -> None:
        """The spool has no place for a save: it stays in memory."""
        with self._changed:
            self._spooling, save.unspoolable = None, True
            self._changed.notify_all()

    # With the lock held.

    def _held(self) -> int:
        return sum(save.slot is not None for save in self._saves)

    def _is_safe(self, save: PendingSave) -> bool:
        """Whether nobody need wait for it: in an outage the spool has it, or cannot have it."""
        return self._out and save is not self._spooling and (save.entry is not None or save.unspoolable)

    def _drop(self, save: PendingSave, why: str) -> None:
        self._leave(save)
        if not save.future.done():
            save.future.set_exception(SaveDropped(f"step {save.step} {why}"))

    def _give_up(self, save: PendingSave) -> None:
        """It stays among what has not reached the bucket; who waits for it learns so."""
        if not save.future.done():
            where = "; it is in the spool" if save.entry is not None else ""
            save.future.set_exception(
                NotDurable(f"step {save.step} has not reached the bucket, and saving has ended{where}")
            )

    def _leave(self, save: PendingSave) -> None:
        self._saves.remove(save)
        if not save.urgent and save is not self._spooling:
            self._release(save)
