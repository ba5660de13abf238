"""Blocks in memory: slots of one array, so that a whole batch is gathered in one call."""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.gather import Windows
from lstm.windows.arrays.times import Counted, Times
from lstm.windows.order.foresight import Foresight
from lstm.windows.read.at_once import wait_for
from lstm.windows.read.block_times import BlockTimes
from lstm.windows.read.fetches import Fetches
from lstm.windows.read.kept import KeptBlocks
from lstm.windows.read.read import WindowReader


class Shelf(ABC):
    """Blocks, each in a slot. Used by one thread at a time; loads run on executors.

    While nothing is `loading`, though, several may `gather` at once, beside the one that does all else.
    """

    def __init__(
        self,
        reader: WindowReader,
        values: NDArray[np.float32],
        times: NDArray[np.int64],
        slot_rows: int,
        loaders: Executor,
        worker: Executor,
        foresight: Foresight | None,
    ) -> None:
        """Hold blocks in slots of `slot_rows` rows of `values` [n, F] and `times` [n].

        Blocks whose rows are in memory already are copied by `worker`, the others fetched by `loaders`.
        `foresight` tells a cache on disk what is needed when; None: there is no such cache.
        """
        self._reader, self.values, self.times, self._slot_rows = reader, values, times, slot_rows
        self._loaders, self._worker, self._foresight = loaders, worker, foresight
        self.length = reader.plan.window.length
        """Rows of a window."""
        self._value_windows = Windows(values, self.length)
        self._block_times = BlockTimes(times, slot_rows, self.length)
        self.fetches = Fetches()
        self._away = np.zeros(len(values) // max(1, slot_rows), bool)
        """Slots that are held, and whose blocks have not been waited for."""
        self.loading = False
        """Whether some blocks may not be there yet."""
        self.at_hand = False
        """Whether the next batch is one that takes no more than a copy."""

    @abstractmethod
    def hold(self, superblocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give each block a slot, whose first row is returned; each call needs one `release`."""

    @abstractmethod
    def load(self, superblocks: NDArray[np.int64], epoch: int) -> None:
        """Start to load those blocks, all of them held, that are not there, in this order."""

    @abstractmethod
    def release(self, superblocks: NDArray[np.int64]) -> None:
        """Take one `hold` back."""

    def clear(self) -> None:  # noqa: B027 - there may be nothing to do
        """Take back what holds are left; returns when nothing is loaded for them."""

    @abstractmethod
    def _asked(self, slot: int) -> "Future[int] | None":
        """The load of a slot's block; None: it was not asked for yet."""

    def _loading(self, slot: int) -> "Future[int]":
        """The same of a block that a window needs."""
        loaded = self._asked(slot)
        assert loaded is not None, "a window's superblock was held, but not loaded"
        return loaded

    def _step(self, slot: int) -> int:
        """The step of the times of a slot's block, once it is there; raises what loading it raised."""
        return self._loading(slot).result()

    def slots(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The slot in which each row lies."""
        return rows // self._slot_rows

    def gather(
        self, rows: NDArray[np.int64], times: Counted | None = None
    ) -> tuple[NDArray[np.float32], Times]:
        """Values [b, T, F] and times [b, T] of the windows that begin at `rows` [b].

        `times` are given where `times_of` told them. Waits until their blocks are there; raises what loading
        them raised.
        """
        if self.loading:
            slots = self.slots(rows)
            away = np.unique(slots[self._away[slots]]).tolist()
            wait_for([self._loading(slot) for slot in away])
            self._come(away)
        values = self._value_windows.gather(rows)
        return values, self._block_times.gather(rows) if times is None else times

    def look(self) -> None:  # noqa: B027 - where blocks come once, it is not worth while
        """Notice what has come meanwhile, also of what nobody gathers from yet."""

    def _come(self, slots: Sequence[int]) -> None:
        """Blocks of these slots are there; raises what loading one of them raised."""
        for slot in slots:
            self._block_times.filled(slot, self._step(slot))
            self._away[slot] = False
        self.loading = bool(self._away.any())

    def times_of(self, rows: NDArray[np.int64]) -> Counted | None:
        """Times of the windows that begin at `rows` [b].

        None where blocks may not be there yet, or times would have to be copied.
        """
        return None if self.loading else self._block_times.counted(rows)

    def _executor(self, superblock: int) -> Executor:
        return self._worker if self._reader.at_hand(superblock) else self._loaders


@dataclass(slots=True)
class _Held:
    slot: int
    users: int = 0
    loaded: "Future[int] | None" = None
    """Gives the step of its times; None: not asked for yet."""


class PassingShelf(Shelf):
    """Holds blocks for as long as somebody uses them."""

    def __init__(
        self,
        reader: WindowReader,
        slots: int,
        slot_rows: int,
        loaders: Executor,
        worker: Executor,
        foresight: Foresight | None = None,
    ) -> None:
        """Make room for `slots` blocks of at most `slot_rows` rows; memory is taken as slots fill."""
        values = np.empty((slots * slot_rows, reader.width), np.float32)
        times = np.empty(slots * slot_rows, np.int64)
        super().__init__(reader, values, times, slot_rows, loaders, worker, foresight)
        self._free = list(range(slots))  # a heap: low slots first, so that untouched memory stays untouched
        self._held: dict[int, _Held] = {}
        self._holds = np.full(slots, -1, np.int64)
        """The superblock in each slot."""

    def hold(self, superblocks: NDArray[np.int64]) -> NDArray[np.int64]:  # noqa: D102 - see Shelf
        slots = []
        for superblock in superblocks.tolist():
            held = self._held.get(superblock)
            if held is None:
                held = self._held[superblock] = _Held(heapq.heappop(self._free))
                self._holds[held.slot] = superblock
                self._away[held.slot] = self.loading = True
            held.users += 1
            slots.append(held.slot)
        return np.array(slots, np.int64) * self._slot_rows

    def load(self, superblocks: NDArray[np.int64], epoch: int) -> None:  # noqa: D102 - see Shelf
        told = partial(self.fetches.count, epoch)
        moments = None if self._foresight is None else self._foresight.at(epoch)
        for superblock in superblocks.tolist():
            held = self._held[superblock]
            if held.loaded is None:
                rows = slice(held.slot * self._slot_rows, (held.slot + 1) * self._slot_rows)
                held.loaded = self._executor(superblock).submit(
                    self._reader.load_block, superblock, self.values[rows], self.times[rows], told, moments
                )

    def release(self, superblocks: NDArray[np.int64]) -> None:
        """Take one `hold` back; a block that nobody holds gives up its slot."""
        for superblock in superblocks.tolist():
            held = self._held[superblock]
            held.users -= 1
            if not held.users:
                self._end(held)
                del self._held[superblock]
                self._away[held.slot] = False
                heapq.heappush(self._free, held.slot)

    def clear(self) -> None:  # noqa: D102 - see Shelf
        for held in self._held.values():
            self._end(held)
        self._held.clear()
        self._away[:] = False
        self._free = list(range(len(self._holds)))

    def look(self) -> None:  # noqa: D102 - see Shelf
        if self.loading:
            asked = ((slot, self._asked(slot)) for slot in np.flatnonzero(self._away).tolist())
            self._come([slot for slot, load in asked if load is not None and _succeeded(load)])

    @staticmethod
    def _end(held: _Held) -> None:
        """A load under way must not write into somebody else's slot."""
        if held.loaded is not None and not held.loaded.cancel():
            held.loaded.exception()

    def _asked(self, slot: int) -> "Future[int] | None":
        return self._held[int(self._holds[slot])].loaded


class KeepingShelf(Shelf):
    """Shares blocks that a reader keeps: each is loaded once, whatever the number of epochs."""

    def __init__(
        self,
        reader: WindowReader,
        kept: KeptBlocks,
        loaders: Executor,
        worker: Executor,
        foresight: Foresight | None = None,
    ) -> None:
        """Use the blocks that are kept."""
        super().__init__(reader, kept.values, kept.times, kept.slot_rows, loaders, worker, foresight)
        self._kept = kept
        self._there = np.zeros(len(reader.plan.superblocks), bool)
        self._epoch = 0

    def hold(self, superblocks: NDArray[np.int64]) -> NDArray[np.int64]:  # noqa: D102 - see Shelf
        self._away[superblocks] = away = ~self._there[superblocks]
        self.loading = self.loading or bool(away.any())
        return superblocks * self._slot_rows

    def load(self, superblocks: NDArray[np.int64], epoch: int) -> None:  # noqa: D102 - see Shelf
        self._epoch = epoch
        told = partial(self.fetches.count, epoch)
        moments = None if self._foresight is None else self._foresight.at(epoch)
        there = self._there[superblocks]
        had = superblocks[there].tolist()
        for superblock in superblocks[~there].tolist():
            load = partial(self._reader.load_block, superblock, told=told, moments=moments)
            if not self._kept.request(superblock, self._executor(superblock), load):
                had.append(superblock)
        self.fetches.had(epoch, dict(need for superblock in had for need in self._reader.needs(superblock)))

    def release(self, superblocks: NDArray[np.int64]) -> None:
        """Blocks stay; those that are not there yet need not come."""
        for superblock in superblocks[~self._there[superblocks]].tolist():
            self._kept.give_up(superblock)

    def _asked(self, slot: int) -> "Future[int] | None":
        return self._kept.asked(slot)

    def _step(self, slot: int) -> int:
        while True:
            try:
                step = super()._step(slot)
            except CancelledError:  # given up by another stream, or by this one on its way elsewhere
                self.load(np.array([slot]), self._epoch)
            else:
                self._there[slot] = True
                return step


def _succeeded(load: "Future[int]") -> bool:
    return load.done() and not load.cancelled() and load.exception() is None
