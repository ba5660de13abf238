"""(Signatures first.) Batches of windows in the order of the epoch; state is one cursor."""

from collections.abc import Iterator
from typing import Any

from lstm.windows.batch import Batch
from lstm.windows.plan import Plan
from lstm.windows.read import WindowReader
from lstm.windows.spec import Split


class WindowStream:
    """One rank's part of every batch.

    Each iteration (`for batch in stream`) yields the rest of the current epoch, counted from the cursor; when
    it is exhausted the cursor moves to the next epoch. So a stream restored at the very end of an epoch yields
    one empty iteration, as the uninterrupted one would have ended its loop there.
    """

    waited_s: float
    """Seconds that the consumer has waited for batches so far."""

    def __init__(
        self,
        plan: Plan,
        reader: WindowReader,
        split: Split,
        *,
        seed: int,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        ordered: bool = False,
        prefetch: int = 2,
    ) -> None:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Batch]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def batch(self, epoch: int, index: int) -> Batch:
        """Replay one batch, without moving the cursor."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """The cursor: plan_id, seed, batch_size, epoch, samples_consumed (of batches that were returned)."""
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a cursor; raises CursorMismatch for another plan, seed or batch size."""
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch."""
        raise NotImplementedError

    def close(self) -> None:
        """End the prefetching threads and give the reader's memory back; the stream cannot be used after."""
        raise NotImplementedError
