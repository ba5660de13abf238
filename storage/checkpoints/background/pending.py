"""Saves that were asked for and are not durable yet."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from storage.checkpoints.background.slots import Slot
from storage.checkpoints.background.spool import Spool, Spooled
from storage.checkpoints.background.spool_file import SpooledState
from storage.checkpoints.commits.retention import Retention
from storage.checkpoints.errors import CommitFailed
from storage.checkpoints.format.head import Commit, newest_first
from storage.checkpoints.hints import AdamHint
from storage.checkpoints.save.writer import RunWriter
from storage.checkpoints.tensor import Tensor
from storage.objects import OutcomeUnknown, TryAgain, Unreachable


@dataclass(eq=False, kw_only=True, slots=True)
class PendingSave:
    """One save, its state in a slot of memory or in the spool."""

    step: int
    meta: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: tuple[str, ...]
    retain: Retention | None
    hints: tuple[AdamHint, ...] = ()
    """They do not go to the spool: what waits there is stored without."""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    """Empty once the state is in the spool alone."""
    slot: Slot[Any] | None = None
    """The memory that they occupy."""
    urgent: bool = False
    """The process is about to end: bucket and spool are tried at once, and its memory is not used again."""
    entry: Spooled | None = None
    """Where it lies in the spool."""
    unspoolable: bool = False
    """The spool could not take it."""
    dropped: str = ""
    """Why it has left the spool, if it has."""
    future: Future[Commit] = field(default_factory=Future)

    def commit(self, writer: RunWriter, spool: Spool | None) -> Commit:
        """Make it durable in the bucket. Raises what `RunWriter.save` does; Damaged, OSError of the spool."""
        tensors = self.tensors
        if self.slot is None:
            assert spool is not None
            assert self.entry is not None
            tensors = spool.read(self.entry).tensors
        return writer.save(
            tensors,
            self.meta,
            step=self.step,
            metrics=self.metrics,
            tags=self.tags,
            retain=self.retain,
            hints=self.hints,
        )

    def keep(self, writer: RunWriter, spool: Spool) -> tuple[Spooled, list[Spooled]]:
        """Put it into the spool; see `Spool.put`."""
        state = SpooledState(
            run=writer.run,
            attempt=writer.attempt,
            parent=newest_id(writer),
            step=self.step,
            meta=self.meta,
            metrics=self.metrics,
            tags=self.tags,
            tensors=self.tensors,
        )
        return spool.put(state)


def newest_id(writer: RunWriter) -> str | None:
    """Id of the undamaged commit of the highest step that a writer knows."""
    healthy = [commit for commit in writer.head.commits if not commit.damaged]
    return newest_first(tuple(healthy))[0].id if healthy else None


def is_outage(error: BaseException) -> bool:
    """Whether the bucket cannot be reached, so that the same save may well succeed later."""
    cause = error.__cause__ if isinstance(error, CommitFailed) else error
    return isinstance(cause, (Unreachable, OutcomeUnknown, TryAgain))
