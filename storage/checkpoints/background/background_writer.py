"""Save beside training: `save` copies the state and returns; a thread of low priority does the rest.

Saves become durable in the order in which they were asked for. At most `in_flight` of them are held in
memory; when that many are, the next `save` waits. None is lost without a word: what a save fails of is
raised by the next `save`, `check`, `wait` or `close`.

With a spool, saves that meet an outage of the bucket go to a bounded folder of this host, and from there to
the bucket once it answers again; training goes on meanwhile. What is still there when the process ends,
however it ends, `storage.checkpoints.background.recovery` commits when this host resumes the run.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from storage.checkpoints.background.backlog import Backlog
from storage.checkpoints.background.niceness import give_way
from storage.checkpoints.background.pending import PendingSave, is_outage
from storage.checkpoints.background.slots import HostSlot, Slot
from storage.checkpoints.background.spool import Spool
from storage.checkpoints.commits.retention import Retention
from storage.checkpoints.errors import NotDurable
from storage.checkpoints.format import canonical
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.names import checked_tags
from storage.checkpoints.hints import AdamHint
from storage.checkpoints.save.writer import RunWriter

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LastSave:
    """What became of `save_now`."""

    step: int
    commit: Commit | None
    """None: it was not durable in the bucket by the deadline."""
    spooled: bool
    """Whether this host keeps it, for a resume that happens here."""
    durable_step: int | None
    """Of the newest commit that this attempt has made durable in the bucket."""


class BackgroundWriter(Generic[S]):
    """Saves states of one run through a `RunWriter`, which nobody else may use meanwhile.

    All methods belong to one thread. Used as a context, it is closed at the end.
    """

    def __init__(
        self,
        writer: RunWriter,
        *,
        in_flight: int = 2,
        state_bytes: int = 0,
        encoders: int = 1,
        niceness: int = 5,
        spool: Spool | None = None,
        new_slot: Callable[[], Slot[S]] | None = None,
        on_durable: Callable[[Commit], None] = lambda commit: None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Start the threads.

        Args:
            writer: what commits.
            in_flight: states that are held in memory at most; each takes its own size.
            state_bytes: about what a state takes, if that is known: memory for it is made ready beside
                training, as the first copy into fresh memory takes several times as long.
            encoders: threads that encode chunks: as many cores as saves may take.
            niceness: how much the threads give way to others (0 to 19; Linux). At 5 they get a third of what
                training gets of a core that both want, and all of one that is idle. Much more is worse: who
                is kept from a core while it holds Python's lock keeps training waiting too.
            spool: where saves wait for the end of an outage; None: an outage fails them.
            new_slot: makes the memory that a state is copied into; None: for plain `Tensor`s.
            on_durable: called with each commit, in order, by the thread that saves.
            on_note: takes plain words about outages and the spool, from either thread. What this or
                `on_durable` raises is raised by the next call here; the save counts, and saving goes on.
        """
        if in_flight < 1:
            raise ValueError(f"in_flight must be >= 1 save, got {in_flight}")
        if encoders < 1:
            raise ValueError(f"encoders must be >= 1 thread, got {encoders}")
        writer.encoders = encoders
        self.writer, self.in_flight = writer, in_flight
        self._spool, self._niceness = spool, niceness
        self._on_durable, self._on_note = on_durable, on_note
        self._new_slot = new_slot or cast("Callable[[], Slot[S]]", HostSlot)
        self._free: list[Slot[S]] = []
        self._state_bytes = state_bytes
        self._backlog = Backlog(self._release)
        work = [self._commit_all] if spool is None else [self._commit_all, self._spool_all]
        # Daemons: a process that ends by an error must not hang on a bucket that is out.
        self._threads = [threading.Thread(target=self._guard, args=(it,), daemon=True) for it in work]
        for thread in self._threads:
            thread.start()

    @property
    def newest(self) -> Commit | None:
        """The commit that this writer has made durable last."""
        return self._backlog.newest

    @property
    def durable_step(self) -> int | None:
        """Step of the newest commit that this writer has made durable; None: none yet."""
        return None if self.newest is None else self.newest.step

    @property
    def stored_bytes(self) -> int:
        """Bytes that the commits of this writer have added to the repository."""
        return self._backlog.stored_bytes

    @property
    def failed(self) -> BaseException | None:
        """What the next `check` will raise."""
        return self._backlog.failed

    def save(
        self,
        state: Mapping[str, S],
        meta: Mapping[str, Any],
        *,
        step: int,
        metrics: Mapping[str, float] | None = None,
        tags: Collection[str] = (),
        retain: Retention | None = None,
        hints: Sequence[AdamHint] = (),
    ) -> "Future[Commit]":
        """Take a copy of `state`, to be committed soon; arguments as those of `RunWriter.save`.

        Returns once `state` may change again: after a copy of it and, where `in_flight` saves are held
        already, after one of them has left.

        Returns:
            The commit to come. Nobody need look at it: what fails is raised later anyway.

        Raises:
            Whatever an earlier save has failed of.
            SavingEnded: this writer is closed, or one of its threads has ended by a fault.
            InvalidName, ValueError: tags, or meta that JSON cannot hold.
        """
        self.check()
        save = _pending(meta, step, metrics, tags, retain)
        save.hints = tuple(hints)
        self._backlog.wait_for_room(self.in_flight)
        self._copy(save, state)
        self._backlog.add(save)
        return save.future

    def save_now(
        self,
        state: Mapping[str, S],
        meta: Mapping[str, Any],
        *,
        step: int,
        deadline_s: float,
        metrics: Mapping[str, float] | None = None,
        tags: Collection[str] = (),
    ) -> LastSave:
        """Save the last state of a process that is about to be ended; only `close` may follow.

        Saves that wait are skipped, as this one is newer; one that is under way comes to its end first. The
        spool, if there is one, takes the state at the same time.

        Args:
            state, meta, step, metrics, tags: as of `save`.
            deadline_s: seconds from now by which this tells what has become of it; writing to the spool
                may take longer.

        Raises:
            Whatever this save has failed of; what earlier ones have is left to `close`.
            SavingEnded: this writer is closed, or one of its threads has ended by a fault.
        """
        self._backlog.refuse_if_closed()
        until = time.monotonic() + deadline_s
        save = _pending(meta, step, metrics, tags, None)
        save.urgent = True
        self._copy(save, state)
        self._backlog.add_instead(save)
        self._backlog.wait_for(save, until, spooled=self._spool is not None)
        commit = save.future.result() if save.future.done() else None
        kept = commit is None and save.entry is not None
        return LastSave(step, commit, kept, self.durable_step)

    def check(self) -> None:
        """Raise what an earlier save has failed of, each once; `TakenOver` every time."""
        self._backlog.raise_failure()

    def wait(self, timeout_s: float | None = None) -> None:
        """Return once all saves are durable in the bucket.

        Raises:
            NotDurable: some are not after `timeout_s`.
            Whatever a save has failed of.
        """
        self._refuse(self._backlog.wait_until_durable(timeout_s))

    def close(self, timeout_s: float | None = None) -> None:
        """Finish what was asked for, and end. In an outage, what the spool has stays there.

        Raises:
            NotDurable: some saves are not in the bucket; says which are in the spool.
            Whatever a save has failed of.
        """
        left = self._backlog.wait_until_safe(timeout_s)
        if not self._backlog.committing:
            for thread in self._threads:
                thread.join()
        self.check()
        self._refuse(left)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What is under way is still brought to its end; an error that ends the block stands."""
        try:
            self.close()
        except Exception as failure:
            if error is None:
                raise
            if failure is not error:
                error.add_note(f"beside that, saving failed: {failure}")

    def _copy(self, save: PendingSave, state: Mapping[str, S]) -> None:
        slot = self._free.pop() if self._free else self._new_slot()
        save.tensors, save.slot = slot.copy(state), slot
        save.future.set_running_or_notify_cancel()  # nobody can cancel it

    def _release(self, save: PendingSave) -> None:
        if save.slot is not None:
            self._free.append(save.slot)
            save.tensors, save.slot = {}, None

    def _refuse(self, left: list[PendingSave]) -> None:
        if not left:
            return
        steps = ", ".join(str(save.step) for save in left)
        message = f"saves of run {self.writer.run!r} have not reached the bucket: step {steps}"
        kept = sum(save.entry is not None for save in left)
        if self._spool is not None and kept:
            message += f"; {kept} of them in {self._spool.folder}: a resume on this host commits them"
        raise NotDurable(message)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            give_way(self._niceness)
            work()
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._backlog.broke(error, committer=work == self._commit_all)

    def _tell(self, text: str) -> None:
        self._call(self._on_note, text)

    def _call(self, back: Callable[[T], None], told: T) -> None:
        """Call back who uses this; what that raises has nothing to do with the save."""
        try:
            back(told)
        except Exception as error:  # noqa: BLE001 - raised in the caller's thread
            self._backlog.complains(error)

    def _commit_all(self) -> None:
        if self._state_bytes:
            slot = self._new_slot()
            slot.reserve(self._state_bytes + self._state_bytes // 16)  # what alignment and growth may take
            self._free.append(slot)
        while (save := self._backlog.next_to_commit()) is not None:
            try:
                commit = save.commit(self.writer, self._spool)
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                if self._spool is None or not is_outage(error):
                    self._backlog.has_failed(save, error)
                elif self._backlog.is_out(save):
                    self._tell(f"step {save.step} cannot reach the bucket and waits: {error}")
                continue
            self._call(self._on_durable, commit)
            if self._backlog.has_landed(save, commit):
                self._tell(f"the bucket answers again: step {commit.step} is durable")
            if save.entry is not None and self._spool is not None:
                self._spool.remove(save.entry)

    def _spool_all(self) -> None:
        assert self._spool is not None
        while (save := self._backlog.next_to_spool()) is not None:
            try:
                entry, dropped = save.keep(self.writer, self._spool)
            except (OSError, ValueError) as error:
                self._backlog.cannot_spool(save)
                self._tell(f"step {save.step} stays in memory, as the spool cannot take it: {error}")
                continue
            for lost in self._backlog.has_spooled(save, entry, dropped):
                self._tell(f"step {lost.step} was dropped from the spool: no room beside step {save.step}")
            if save.future.done() and save.future.exception() is None:
                self._spool.remove(entry)  # it has reached the bucket meanwhile


def _pending(
    meta: Mapping[str, Any],
    step: int,
    metrics: Mapping[str, float] | None,
    tags: Collection[str],
    retain: Retention | None,
) -> PendingSave:
    return PendingSave(
        step=step,
        meta=canonical.plain_copy(meta, "meta"),  # refused here if it must be
        metrics={name: float(value) for name, value in (metrics or {}).items()},
        tags=checked_tags(tags),
        retain=retain,
    )
