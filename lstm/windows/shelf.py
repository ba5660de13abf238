"""Blocks in memory: slots of one array, so that a whole batch is gathered in one call."""

import heapq
from abc import ABC, abstractmethod
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lstm.windows.block_times import BlockTimes
from lstm.windows.fetches import Fetches
from lstm.windows.foresight import Foresight
from lstm.windows.gather import Windows
from lstm.windows.kept import KeptBlocks
from lstm.windows.read import WindowReader
from lstm.windows.times import Times


class Shelf(ABC):
    """Blocks, each in a slot. Used by one thread; loads run on executors."""

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

    @abstractmethod
    def request(self, superblocks: NDArray[np.int64], epoch: int) -> None:
        """Start to load the blocks that are not there; each request needs one `release`."""

    @abstractmethod
    def wait(self, superblocks: NDArray[np.int64]) -> None:
        """Wait until requested blocks are there; raises what loading them raised."""

    @abstractmethod
    def release(self, superblocks: NDArray[np.int64]) -> None:
        """Take one request back."""

    @abstractmethod
    def base(self, superblocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of `values` and `times` at which each block begins."""

    def gather(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], Times]:
        """Values [b, T, F] and times [b, T] of the windows that begin at `rows` [b]."""
        return self._value_windows.gather(rows), self._block_times.gather(rows)

    def _executor(self, superblock: int) -> Executor:
        return self._worker if self._reader.at_hand(superblock) else self._loaders


@dataclass(slots=True)
class _Held:
    slot: int
    users: int
    loaded: "Future[int]"
    """Gives the step of its times."""


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
        self._base = np.full(len(reader.plan.superblocks), -1, np.int64)

    def request(self, superblocks: NDArray[np.int64], epoch: int) -> None:  # noqa: D102 - see Shelf
        told = partial(self.fetches.count, epoch)
        moments = None if self._foresight is None else self._foresight.at(epoch)
        for superblock in superblocks.tolist():
            held = self._held.get(superblock)
            if held is None:
                slot = heapq.heappop(self._free)
                rows = slice(slot * self._slot_rows, (slot + 1) * self._slot_rows)
                load = self._executor(superblock).submit(
                    self._reader.load_block, superblock, self.values[rows], self.times[rows], told, moments
                )
                self._held[superblock] = _Held(slot, 1, load)
                self._base[superblock] = rows.start
            else:
                held.users += 1

    def wait(self, superblocks: NDArray[np.int64]) -> None:  # noqa: D102 - see Shelf
        for superblock in superblocks.tolist():
            held = self._held[superblock]
            self._block_times.filled(held.slot, held.loaded.result())

    def release(self, superblocks: NDArray[np.int64]) -> None:
        """Take one request back; a block that nobody uses gives up its slot."""
        for superblock in superblocks.tolist():
            held = self._held[superblock]
            held.users -= 1
            if not held.users:
                if not held.loaded.cancel():
                    held.loaded.exception()  # a load under way must not write into somebody else's slot
                del self._held[superblock]
                self._base[superblock] = -1
                heapq.heappush(self._free, held.slot)

    def base(self, superblocks: NDArray[np.int64]) -> NDArray[np.int64]:  # noqa: D102 - see Shelf
        rows = self._base[superblocks]
        assert not len(rows) or rows.min() >= 0, "a window's superblock is not on the shelf"
        return rows


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

    def request(self, superblocks: NDArray[np.int64], epoch: int) -> None:  # noqa: D102 - see Shelf
        self._epoch = epoch
        told = partial(self.fetches.count, epoch)
        moments = None if self._foresight is None else self._foresight.at(epoch)
        for superblock in superblocks.tolist():
            load = partial(self._reader.load_block, superblock, told=told, moments=moments)
            if self._there[superblock] or not self._kept.request(
                superblock, self._executor(superblock), load
            ):
                self._reader.need(superblock, told)

    def wait(self, superblocks: NDArray[np.int64]) -> None:  # noqa: D102 - see Shelf
        for superblock in superblocks[~self._there[superblocks]].tolist():
            self._block_times.filled(superblock, self._step(superblock))
            self._there[superblock] = True

    def release(self, superblocks: NDArray[np.int64]) -> None:
        """Blocks stay; those that are not there yet need not come."""
        for superblock in superblocks[~self._there[superblocks]].tolist():
            self._kept.give_up(superblock)

    def base(self, superblocks: NDArray[np.int64]) -> NDArray[np.int64]:  # noqa: D102 - see Shelf
        return superblocks * self._slot_rows

    def _step(self, superblock: int) -> int:
        while True:
            try:
                return self._kept.step(superblock)
            except CancelledError:  # given up by another stream, or by this one on its way elsewhere
                self.request(np.array([superblock]), self._epoch)
