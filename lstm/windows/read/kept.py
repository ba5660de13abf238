"""All blocks of a plan, each loaded once and kept: where a budget holds them twice over.

An epoch then copies nothing but its batches. Streams of one reader share the blocks, so that they take less
of its budget than blocks of their own would.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future

import numpy as np
from numpy.typing import NDArray

from lstm.windows.plan.plan import Plan
from lstm.windows.read.moves import Blocks

Load = Callable[[NDArray[np.float32], NDArray[np.int64]], int]
"""Fills the first rows of a block's values and times; gives the step of its times."""


def kept_bytes(plan: Plan, row_bytes: int) -> int:
    """Bytes that all blocks of a plan take, with rows of so many bytes."""
    return len(plan.superblocks) * int(plan.block_rows.max(initial=0)) * row_bytes


class KeptBlocks:
    """One slot for each superblock of a plan; for any thread."""

    def __init__(self, plan: Plan, blocks: Blocks, width: int, forget: Callable[[int], None]) -> None:
        """Make room; memory is taken as blocks come.

        Args:
            plan: whose blocks.
            blocks: what they are made of.
            width: cells of a row.
            forget: told of each row group of which no block needs anything any more.
        """
        self.slot_rows = int(plan.block_rows.max(initial=0))
        rows = len(plan.superblocks) * self.slot_rows
        self.values, self.times = np.empty((rows, width), np.float32), np.empty(rows, np.int64)
        self._blocks, self._forget = blocks, forget
        self._needed = blocks.uses()
        self._lock = threading.Lock()
        self._loads: dict[int, Future[int]] = {}

    def request(self, superblock: int, executor: Executor, load: Load) -> bool:
        """Begin to load a block, with `load` on the executor; False: somebody has."""
        with self._lock:
            begun = self._loads.get(superblock)
            if begun is not None and not _failed(begun):
                return False
            self._loads[superblock] = executor.submit(self._fill, superblock, load)
            return True

    def asked(self, superblock: int) -> "Future[int] | None":
        """The load of a block, which gives the step of its times; None: nobody has requested it.

        It is cancelled if whoever had requested it has given it up.
        """
        with self._lock:
            return self._loads.get(superblock)

    def give_up(self, superblock: int) -> None:
        """Do not load a requested block unless that is under way: others who want it request it again."""
        with self._lock:
            if load := self._loads.get(superblock):
                load.cancel()

    def loaded(self, superblock: int) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Values and times of a block, and what lies behind it in its slot; None: it is not there yet."""
        with self._lock:
            load = self._loads.get(superblock)
        return None if load is None or not load.done() or _failed(load) else self._slot(superblock)

    def _slot(self, superblock: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rows = slice(superblock * self.slot_rows, (superblock + 1) * self.slot_rows)
        return self.values[rows], self.times[rows]

    def _fill(self, superblock: int, load: Load) -> int:
        step = load(*self._slot(superblock))
        groups = self._blocks[superblock].groups
        with self._lock:
            self._needed[groups] -= 1
            done = [group for group in groups if not self._needed[group]]
        for group in done:
            self._forget(group)
        return step


def _failed(load: "Future[int]") -> bool:
    return load.cancelled() or (load.done() and load.exception() is not None)
