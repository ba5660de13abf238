"""Blocks in memory: slots of one array, so that a whole batch is gathered in one call."""

import heapq
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lstm.windows.block_times import BlockTimes
from lstm.windows.fetches import Fetches
from lstm.windows.foresight import Foresight
from lstm.windows.gather import Windows
from lstm.windows.read import WindowReader
from lstm.windows.times import Times


@dataclass(slots=True)
class _Held:
    slot: int
    users: int
    loaded: "Future[int]"
    """Gives the step of its times."""


class Shelf:
    """Holds blocks for as long as somebody uses them. Used by one thread; loads run on executors."""

    def __init__(
        self,
        reader: WindowReader,
        loaders: Executor,
        worker: Executor,
        slots: int,
        slot_rows: int,
        foresight: Foresight | None = None,
    ) -> None:
        """Make room for `slots` blocks of at most `slot_rows` rows; memory is taken as slots fill.

        Blocks whose rows are in memory already are copied by `worker`, the others fetched by `loaders`.
        `foresight` tells a cache on disk what is needed when; None: there is no such cache.
        """
        self._reader, self._loaders, self._worker, self._slot_rows = reader, loaders, worker, slot_rows
        self._foresight = foresight
        self.values = np.empty((slots * slot_rows, reader.width), np.float32)
        self.times = np.empty(slots * slot_rows, np.int64)
        self.length = reader.plan.window.length
        """Rows of a window."""
        self._value_windows = Windows(self.values, self.length)
        self._block_times = BlockTimes(self.times, slot_rows, self.length)
        self._free = list(range(slots))  # a heap: low slots first, so that untouched memory stays untouched
        self._held: dict[int, _Held] = {}
        self.fetches = Fetches()
        self._base = np.full(len(reader.plan.superblocks), -1, np.int64)

    def request(self, superblocks: NDArray[np.int64], epoch: int) -> None:
        """Start to load the blocks that are not there; each request needs one `release`."""
        told = partial(self.fetches.count, epoch)
        moments = None if self._foresight is None else self._foresight.at(epoch)
        for superblock in superblocks.tolist():
            held = self._held.get(superblock)
            if held is None:
                slot = heapq.heappop(self._free)
                rows = slice(slot * self._slot_rows, (slot + 1) * self._slot_rows)
                executor = self._worker if self._reader.at_hand(superblock) else self._loaders
                load = executor.submit(
                    self._reader.load_block, superblock, self.values[rows], self.times[rows], told, moments
                )
                self._held[superblock] = _Held(slot, 1, load)
                self._base[superblock] = rows.start
            else:
                held.users += 1

    def wait(self, superblocks: NDArray[np.int64]) -> None:
        """Wait until requested blocks are there; raises what loading them raised."""
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

    def gather(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], Times]:
        """Values [b, T, F] and times [b, T] of the windows that begin at `rows` [b]."""
        return self._value_windows.gather(rows), self._block_times.gather(rows)

    def base(self, superblocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of `values` and `times` at which each block begins."""
        rows = self._base[superblocks]
        assert not len(rows) or rows.min() >= 0, "a window's superblock is not on the shelf"
        return rows
