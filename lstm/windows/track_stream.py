"""Batches for truncated backpropagation through time: each row goes on where it was in the batch before.

With windows `stride` = `context` rows apart the hidden state after a window's context is the one that the
next window of its track begins with. `Batch.reset` says where there is none: a stretch begins.
"""

import operator
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Self
from weakref import finalize

import numpy as np

from lstm.windows.batch import Batch
from lstm.windows.errors import BudgetTooSmall, CursorMismatch, EmptySplit, TooManyRanks
from lstm.windows.features.finish import Finish
from lstm.windows.order.cursor import check_cursor, epoch_number
from lstm.windows.order.track_order import Stretches
from lstm.windows.plan.plan import Plan
from lstm.windows.read.prefetch import Ahead
from lstm.windows.read.process import Home, refuse_to_travel
from lstm.windows.read.read import WindowReader
from lstm.windows.read.track_batches import TrackBatches
from lstm.windows.spec import Split

_MOST_AHEAD = 256
"""Windows of each track that are read in one go, if memory allows."""


class TrackStream:
    """One rank's tracks: of W ranks, rank r has the tracks t with t mod W = r.

    Each iteration yields the rest of the current epoch, counted from the cursor. Batch k holds window k of
    every track that still has one: `Batch.track` says which, `Batch.reset` whether it begins a stretch.
    Positions are k · tracks + track. Each window comes once, also of a series that is weighted.
    """

    def __init__(
        self,
        plan: Plan,
        reader: WindowReader,
        split: Split = "train",
        *,
        tracks: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        prefetch: int = 2,
        finish: Callable[[Batch], Batch] | None = None,
    ) -> None:
        """Prepare to stream from the start of epoch 0.

        Args:
            plan: which windows there are.
            reader: of the same plan; half of what its budget has free is taken.
            split: whose windows are streamed.
            tracks: rows of a global batch, over all ranks.
            seed: decides the order of every epoch.
            rank: this rank.
            ranks: ranks in all, at most the tracks.
            prefetch: batches made ahead in a thread; 0: none.
            finish: what is done to each batch, ahead too; None: what the reader's columns need.

        Raises:
            TypeError: a number that is not whole.
            TooManyRanks: more ranks than tracks.
            EmptySplit: the split has no window.
            BudgetTooSmall: the reader's budget cannot hold one window of each track.
        """
        self._tracks, self._seed = operator.index(tracks), operator.index(seed)
        self._rank, self._ranks = operator.index(rank), operator.index(ranks)
        if self._tracks < 1 or prefetch < 0 or self._seed < 0 or not 0 <= self._rank < self._ranks:
            raise ValueError(
                "tracks need tracks >= 1, prefetch >= 0, seed >= 0 and 0 <= rank < ranks, got "
                f"tracks {tracks}, prefetch {prefetch}, seed {seed}, rank {rank} of {ranks}"
            )
        if self._ranks > self._tracks:
            raise TooManyRanks(f"{ranks} ranks cannot share {tracks} tracks; start at most that many ranks")
        self._plan, self._reader = plan, reader
        stretches = Stretches.of(plan, split, self._tracks)
        if not len(stretches.start):
            raise EmptySplit(f"the {split} split has no window; change the shares of the splits")
        self._own = np.arange(self._rank, self._tracks, self._ranks)
        self._home = Home()
        at_once, self._reserved = self._reserve()
        self._batches = TrackBatches(
            plan,
            reader,
            stretches,
            finish or Finish(reader.features, plan),
            own=self._own,
            tracks=self._tracks,
            seed=self._seed,
            at_once=at_once,
        )
        self._made = Ahead(self._batches.following, prefetch)
        self._dropped = finalize(self, _let_go, self._home, self._made, reader, self._reserved)
        self._dropped.atexit = False
        self._epoch, self._consumed = 0, 0
        self._closed = False

    def __len__(self) -> int:
        """Batches of the current epoch."""
        return self._batches.order(self._epoch).batches

    def __iter__(self) -> Iterator[Batch]:
        """Yield the rest of the current epoch."""
        epoch = self._epoch
        while self._epoch == epoch and self._consumed < len(self):
            batch = self._next()
            self._consumed += 1
            yield batch
        if self._epoch == epoch:
            self._epoch, self._consumed = epoch + 1, 0

    def batch(self, epoch: int, index: int) -> Batch:
        """Replay one batch, without moving the cursor.

        Raises:
            IndexError: the epoch has no such batch.
        """
        self._home.check()
        order = self._batches.order(operator.index(epoch))
        if not 0 <= index < order.batches:
            raise IndexError(f"no batch {index} in epoch {epoch}: it has batches 0 to {order.batches - 1}")
        return self._batches.one(epoch, operator.index(index))

    def state_dict(self) -> dict[str, Any]:
        """The cursor: batches that were returned, not those made ahead."""
        return {
            "plan_id": self._plan.id,
            "seed": self._seed,
            "tracks": self._tracks,
            "epoch": self._epoch,
            "batches_consumed": self._consumed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a cursor, also one of another number of ranks. Hidden states are the caller's to keep.

        Raises:
            CursorMismatch: it belongs to another plan, seed or number of tracks, or lies beyond its epoch.
        """
        epoch, consumed = check_cursor(state, self.state_dict(), "these tracks have")
        batches = self._batches.order(max(epoch, 0)).batches
        if epoch < 0 or not 0 <= consumed <= batches:
            raise CursorMismatch(f"no batch {consumed} in epoch {epoch}: it has {batches}")
        self._go_to(epoch, consumed)

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch."""
        self._go_to(epoch_number(epoch), 0)

    def close(self) -> None:
        """End the threads and give the reader's memory back; the stream cannot be used after."""
        if self._home.left:
            self._closed = True  # there are no threads here to wait for
        if not self._closed:
            self._made.forget()
            self._closed = True
            self._batches.close()
            if self._dropped.detach():
                self._reader.release(self._reserved)

    def __reduce__(self) -> NoReturn:
        refuse_to_travel("a stream of tracks")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> Batch:
        if self._closed:
            raise ValueError("the stream is closed")
        self._home.check()
        at = self._epoch, self._consumed
        try:
            batch = self._made.next(*at)
            if (batch.epoch, batch.index) != at:  # one was taken, and an interrupt kept it from the consumer
                self._made.forget()
                batch = self._made.next(*at)
            return batch
        except BaseException:
            self._made.forget()  # the next call starts afresh at the cursor
            raise

    def _reserve(self) -> tuple[int, int]:
        """Windows of each track that are read in one go, and the bytes set aside for them."""
        window, row = self._plan.window, self._reader.row_bytes
        once = len(self._own) * window.length * row
        more = len(self._own) * window.stride * row
        room = self._reader.unreserved // 2
        at_once = min(_MOST_AHEAD, 1 + (room - once) // more) if room >= once else 0
        reserved = once + (at_once - 1) * more
        if at_once < 1 or not self._reader.reserve(reserved):
            raise BudgetTooSmall(
                f"{len(self._own)} tracks of windows of {window.length} rows need {2 * once:,} bytes on this "
                f"rank, but {self._reader.unreserved:,} bytes of the budget are free; raise the memory "
                "budget, take fewer tracks or more ranks"
            )
        return int(at_once), int(reserved)

    def _go_to(self, epoch: int, consumed: int) -> None:
        if (epoch, consumed) != (self._epoch, self._consumed):
            self._home.check()
            self._made.forget()
            self._epoch, self._consumed = epoch, consumed


def _let_go(home: Home, made: Ahead[Batch], reader: WindowReader, reserved: int) -> None:
    """As in `stream`: what `close` does, of a stream that was dropped without it."""
    made.abandon()
    if not home.left:
        reader.release(reserved)
