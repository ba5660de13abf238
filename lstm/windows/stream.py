"""Batches of windows in the order of the epoch; one cursor is all that a restart needs.

The order is a pure function of (plan, seed, epoch); see `order`. A rank computes the windows of its lanes;
every rank sees every batch, with no window of its own in some of them.
"""

import operator
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any, NoReturn, Self
from weakref import finalize

from numpy.typing import NDArray

from lstm.windows.batch import Batch
from lstm.windows.errors import CursorMismatch, EmptySplit, MissingColumn, TooManyRanks
from lstm.windows.features.finish import Finish
from lstm.windows.index.runs import Entity
from lstm.windows.order.cursor import check_cursor, epoch_number
from lstm.windows.order.foresight import Foresight
from lstm.windows.order.schedule import Schedule
from lstm.windows.plan.plan import Plan
from lstm.windows.read.assemble import from_shelf, from_table
from lstm.windows.read.pools import Pools
from lstm.windows.read.prefetch import Ahead
from lstm.windows.read.process import Home, refuse_to_travel
from lstm.windows.read.read import WindowReader
from lstm.windows.read.room import Room
from lstm.windows.read.shelf import Shelf
from lstm.windows.spec import Split

_LOADERS, _MOST_LOADERS = 2, 16
"""Threads that load blocks ahead: more where row groups are small, as each waits for requests most of the
time and holds one row group beyond the budget."""
_IN_FLIGHT = 32
"""All of them together hold at most one in so many bytes of the budget, unless two hold more."""


class WindowStream:
    """One rank's part of every batch.

    Each iteration (`for batch in stream`) yields the rest of the current epoch, counted from the cursor; when
    it is exhausted the cursor moves to the next epoch. So a stream restored at the very end of an epoch
    yields one empty iteration, as the uninterrupted one would have ended its loop there.

    Not for several consumers at once: all iterators of a stream share its cursor.
    """

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
        finish: Callable[[Batch], Batch] | None = None,
    ) -> None:
        """Prepare to stream from the start of epoch 0.

        Args:
            plan: which windows there are.
            reader: of the same plan; streams may share it and its budget.
            split: whose windows are streamed.
            seed: decides the order of every epoch.
            batch_size: windows of a global batch, over all ranks.
            rank: this rank.
            ranks: ranks in all, at most the plan's lanes.
            ordered: nothing is shuffled: every lane walks through its superblocks in plan order, so each
                window comes once per epoch, at the same place in each; nothing is read beyond the epoch.
            prefetch: batches made ahead in a thread, or beside the consumer's where that is back at once; 0:
                none.
            finish: what is done to each batch, ahead too, maybe to two at once in two threads; None: what the
                reader's columns need.

        Raises:
            TypeError: a number that is not whole.
            TooManyRanks: more ranks than lanes.
            EmptySplit: the split makes no batch.
            BudgetTooSmall: the reader's budget cannot hold the blocks that this rank needs.
        """
        seed, batch_size = operator.index(seed), operator.index(batch_size)
        rank, ranks = operator.index(rank), operator.index(ranks)
        if batch_size < 1 or prefetch < 0 or seed < 0 or not 0 <= rank < ranks:
            raise ValueError(
                "a stream needs batch_size >= 1, prefetch >= 0, seed >= 0 and 0 <= rank < ranks, got "
                f"batch_size {batch_size}, prefetch {prefetch}, seed {seed}, rank {rank} of {ranks}"
            )
        if ranks > plan.order.lanes:
            raise TooManyRanks(
                f"{ranks} ranks cannot share {plan.order.lanes} lanes; start at most that many "
                "ranks, or plan a new run with more lanes (order.lanes)"
            )
        self._make = {"seed": seed, "batch_size": batch_size, "rank": rank, "ranks": ranks}
        self._plan, self._reader, self._split, self._ordered = plan, reader, split, ordered
        self._schedule = self._new_schedule()
        if not self._schedule.batches(0):
            raise EmptySplit(
                f"the {split} split has {self._schedule.windows.total} windows, too few for one batch "
                f"of {batch_size} (order.last = {plan.order.last!r}); "
                "change the shares of the splits, or the batch"
            )
        self._home = Home()
        self._room = Room(reader, plan, split, self._schedule, ranks=ranks, ordered=ordered)
        self._loaders = ThreadPoolExecutor(self._threads(), thread_name_prefix="blocks")
        # one thread for what waits for nothing: several would only take the interpreter from each other
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="order")
        foresight = None
        if reader.disk is not None:
            foresight = Foresight(plan, self._schedule.windows, self._schedule.entries)
        self._shelf = self._room.shelf(self._loaders, self._worker, foresight)
        self._pools = Pools(
            self._shelf,
            self._worker,
            plan,
            split,
            self._schedule,
            pool=self._schedule.pool,
            epochs=not ordered,
        )
        self._finish = finish or Finish(reader.features, plan)
        make = _Maker(self._schedule, self._pools, self._shelf, self._finish, batch_size, ordered)
        self._made = Ahead(make.batches, prefetch, make.at_hand)
        self._dropped = finalize(self, _let_go, self._made, self._room)
        self._dropped.atexit = False
        self._epoch, self._consumed = 0, 0
        self._closed = False
        self._resetting = False

    def __len__(self) -> int:
        """Batches of the current epoch: the same in each, unless series are weighted."""
        return self._schedule.batches(self._epoch)

    @property
    def plan(self) -> Plan:
        """Which windows there are."""
        return self._plan

    @property
    def columns(self) -> tuple[str, ...]:
        """What the last axis of a batch's values holds."""
        return self._reader.columns

    @property
    def id_columns(self) -> tuple[str, ...]:
        """What the last axis of a batch's ids holds."""
        return self._reader.features.ids

    def column(self, batch: Batch, name: str) -> NDArray[Any]:
        """One column of a batch, as a view: [b, T], or [b, T, width] of lists.

        Raises:
            MissingColumn: the stream has no such column that changes with time.
        """
        features = self._reader.features
        if name not in features.slices:
            raise MissingColumn(f"the stream has no column {name!r}; it has: {', '.join(features.names)}")
        held = batch.ids if name in features.ids else batch.values
        assert held is not None
        found = held[..., features.slices[name]]
        return found[..., 0] if found.shape[-1] == 1 else found

    def entities(self, batch: Batch) -> list[Entity]:
        """[b] whose rows each window of a batch holds, as the table names them."""
        return [self._plan.series[number] for number in batch.series.tolist()]

    @property
    def waited_s(self) -> float:
        """Seconds that the consumer has waited for batches so far."""
        return self._made.waited_s

    @property
    def read_amplification(self) -> float:
        """Bytes fetched ÷ bytes of the column chunks that this rank's windows need, per epoch, so far.

        Both are counted in whole row groups, or in rows where the plan has parts of them read. 1.0: each is
        fetched once per epoch, halos included; less where they stay in memory from one epoch to the next;
        0.0 before anything was read.
        """
        return self._shelf.fetches.amplification

    def __iter__(self) -> Iterator[Batch]:
        """Yield the rest of the current epoch."""
        epoch = self._epoch
        samples = self._schedule.samples(epoch)
        while self._epoch == epoch and self._consumed < samples:
            batch = self._next()
            self._consumed = min((batch.index + 1) * self._make["batch_size"], samples)
            yield batch
        if self._epoch == epoch:
            self._epoch, self._consumed = epoch + 1, 0
            if self._ordered:
                self._reset()  # nothing was made beyond the epoch

    def batch(self, epoch: int, index: int) -> Batch:
        """Replay one batch, without moving the cursor.

        Raises:
            IndexError: the epoch has no such batch.
        """
        self._home.check()
        epoch, index = self._checked(epoch, index)
        part = self._replays.part(epoch, index)
        return self._finish(from_table(part, self._plan, self._replays.windows_at(epoch), self._reader))

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left of the current epoch."""
        return self._consumed == self._schedule.samples(self._epoch)

    def state_dict(self) -> dict[str, Any]:
        """The cursor; samples_consumed counts the positions of batches that were returned."""
        return self._cursor(self._epoch, self._consumed)

    def state_after(self, epoch: int, index: int) -> dict[str, Any]:
        """The cursor right after a batch: for whoever sits behind something that takes batches ahead.

        Raises:
            IndexError: the epoch has no such batch.
        """
        epoch, index = self._checked(epoch, index)
        return self._cursor(epoch, min((index + 1) * self._make["batch_size"], self._schedule.samples(epoch)))

    def __reduce__(self) -> NoReturn:
        refuse_to_travel("a stream")

    def _cursor(self, epoch: int, consumed: int) -> dict[str, Any]:
        return {
            "plan_id": self._plan.id,
            "seed": self._make["seed"],
            "batch_size": self._make["batch_size"],
            "epoch": epoch,
            "samples_consumed": consumed,
        }

    def _checked(self, epoch: int, index: int) -> tuple[int, int]:
        epoch, index = operator.index(epoch), operator.index(index)
        if epoch < 0:
            raise IndexError(f"epochs count from 0, got {epoch}")
        batches = self._schedule.batches(epoch)
        if not 0 <= index < batches:
            raise IndexError(f"no batch {index} in epoch {epoch}: the epoch has batches 0 to {batches - 1}")
        return epoch, index

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a cursor, also one of another number of ranks.

        Raises:
            CursorMismatch: it belongs to another plan, seed or batch size, lies inside a batch, or holds a
                number that is not whole.
        """
        own = self.state_dict()
        epoch, consumed = check_cursor(state, own, "this stream has")
        samples = self._schedule.samples(max(epoch, 0))
        between = consumed % own["batch_size"] and consumed != samples
        if epoch < 0 or not 0 <= consumed <= samples or between:
            raise CursorMismatch(
                f"no batch of {own['batch_size']} ends after {consumed} samples of epoch {epoch}: an epoch "
                f"has {samples}"
            )
        self._go_to(epoch, consumed)

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch."""
        self._go_to(epoch_number(epoch), 0)

    def close(self) -> None:
        """End the threads and give the reader's memory back; the stream cannot be used after."""
        if self._home.left:
            self._closed = True  # there are no threads here to wait for
        if not self._closed:
            self._reset()
            self._closed = True
            self._loaders.shutdown(wait=True)
            self._worker.shutdown(wait=True)
            self._room.close()
            self._dropped.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> Batch:
        if self._closed:
            raise ValueError("the stream is closed")
        self._home.check()
        if self._resetting:
            self._reset()  # what an interrupt has left half done
        at = self._epoch, -(-self._consumed // self._make["batch_size"])
        try:
            batch = self._made.next(self._epoch, self._consumed)
            if (batch.epoch, batch.index) != at:  # one was taken, and an interrupt kept it from the consumer
                self._reset()
                batch = self._made.next(self._epoch, self._consumed)
            return batch
        except BaseException:
            self._reset()  # the next call starts afresh at the cursor
            raise

    def _go_to(self, epoch: int, consumed: int) -> None:
        if (epoch, consumed) != (self._epoch, self._consumed):
            self._reset()
            self._epoch, self._consumed = epoch, consumed

    def _reset(self) -> None:
        """Forget what was made ahead."""
        self._home.check()
        self._resetting = True
        self._made.forget()
        self._pools.clear()
        self._shelf.fetches.start_over()
        self._resetting = False

    @cached_property
    def _replays(self) -> Schedule:
        return self._new_schedule()  # a schedule of its own: the other one belongs to the prefetching thread

    def _new_schedule(self) -> Schedule:
        return Schedule(self._plan, self._split, **self._make, shuffled=not self._ordered)

    def _threads(self) -> int:
        largest = int(self._plan.pieces.group_rows.max()) * self._reader.row_bytes
        return max(_LOADERS, min(_MOST_LOADERS, self._reader.budget_bytes // (_IN_FLIGHT * largest)))


class _Maker:
    """Makes a stream's batches, and knows nothing of the stream: that may be dropped meanwhile."""

    def __init__(
        self,
        schedule: Schedule,
        pools: Pools,
        shelf: Shelf,
        finish: Callable[[Batch], Batch],
        batch_size: int,
        ordered: bool,
    ) -> None:
        self._schedule, self._pools, self._shelf, self._finish = schedule, pools, shelf, finish
        self._batch_size, self._ordered = batch_size, ordered

    def at_hand(self) -> bool:
        return self._shelf.at_hand

    def batches(self, epoch: int, consumed: int) -> Iterator[Callable[[], Batch]]:
        """Calls for every batch from a cursor on, without end; `ordered` ends with the epoch."""
        index = -(-consumed // self._batch_size)
        while True:
            for call in from_shelf(self._schedule, epoch, index, self._pools, self._shelf):
                yield partial(self._finished, call)
            if self._ordered:
                return
            epoch, index = epoch + 1, 0

    def _finished(self, call: Callable[[], Batch]) -> Batch:
        return self._finish(call())


def _let_go(made: Ahead[Batch], room: Room) -> None:
    """What `close` does, of a stream that was dropped without it, as far as any thread may do it at any time.

    Without the thread nobody knows the executors, whose threads then end.
    """
    made.abandon()
    room.close()
