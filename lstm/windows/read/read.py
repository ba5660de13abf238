"""Blocks of rows, decoded to float32, within a budget of bytes.

Each row group is fetched whole, decoded, and kept while the budget has room beside what streams have
reserved for their blocks. One row group per loading thread is in flight beyond the budget. Where the plan
cuts row groups because memory cannot hold them, only the rows that a block needs are read, and none kept.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lstm.windows.features.features import Features
from lstm.windows.features.row_groups import RowGroups, Rows, decode
from lstm.windows.features.vocabulary import Vocabulary
from lstm.windows.order.foresight import Moments
from lstm.windows.plan.plan import Plan
from lstm.windows.read.kept import KeptBlocks, kept_bytes
from lstm.windows.read.memory import place_bytes
from lstm.windows.read.moves import Blocks, Moves, moves_of
from lstm.windows.read.process import Home
from lstm.windows.spec import Split
from lstm.windows.table.column import Column
from storage.disk_cache import DiskCache
from storage.tables.protocol import Snapshot
from storage.tables.snapshot import keep_on

Told = Callable[[int, int, int], None]
"""Takes what a block needed: `Fetches.count`, without its epoch."""


def reads_parts(plan: Plan) -> bool:
    """Whether of a row group only the rows are read that a block needs.

    Not where missing values take those before them, which are known where a row group's pieces begin; nor
    where a row group has to be read whole to be sorted.
    """
    return plan.order.superblock_rows is not None and not plan.nulls.carried and not plan.keys.sorts


class WindowReader:
    """Reads a plan's rows; streams of one process may share it, from any thread."""

    def __init__(
        self,
        snapshot: Snapshot,
        plan: Plan,
        columns: Sequence[str | Column],
        budget_bytes: int = 512 * 2**20,
        vocabularies: Mapping[str, Vocabulary] | None = None,
        disk: DiskCache | None = None,
    ) -> None:
        """Prepare to read.

        Args:
            snapshot: the very one that was planned.
            plan: where rows lie.
            columns: the features.
            budget_bytes: what this process may hold: blocks of its streams, and decoded row groups.
            vocabularies: of the categories among the columns.
            disk: keeps the table's bytes on this host between epochs; ranks may share it. None: nothing does.

        Raises:
            MissingColumn, WrongColumnType: a column cannot be what it is said to be.
            PlanMismatch: the plan was made for another snapshot, or for other null policies.
        """
        snapshot = plan.view_of(snapshot)
        self.features = Features(snapshot.schema, columns, vocabularies)
        plan.check(snapshot)
        self.features.check(plan)
        self.plan, self.disk = plan, disk
        if disk is not None:
            keep_on(snapshot, disk)
        self.columns = self.features.cells
        """What each number of a row is."""
        self.width = self.features.width
        """Cells of a row: its numbers and its ids."""
        self.budget_bytes = budget_bytes
        self._decode = partial(decode, snapshot, plan, features=self.features)
        self._in_parts = reads_parts(plan)
        self._blocks = Blocks(plan)
        self._begin()

    def _begin(self) -> None:
        """Hold nothing yet, and nothing for any stream."""
        self._home = Home()
        self._reserved = 0
        self._lock = (
            threading.RLock()
        )  # a stream that is dropped gives memory back, maybe in the middle of this
        self._groups = RowGroups(self._decode, lambda: self.budget_bytes - self._reserved)
        self._parts_read = 0
        self._kept: KeptBlocks | None = None
        self._keepers = 0
        """Streams that keep them."""

    def _settle(self) -> None:
        """Begin anew in a process that was forked off: what was under way never ends there."""
        if self._home.left:
            self._begin()

    @property
    def row_bytes(self) -> int:
        """Bytes of a decoded row: its features and its time."""
        return self.features.row_bytes

    @property
    def loads(self) -> int:
        """Row groups, or parts of them, fetched and decoded so far; each repetition counted."""
        return self._groups.loads + self._parts_read

    def reserve(self, size: int) -> bool:
        """Set `size` bytes of the budget aside for a stream's blocks; False: there is no room."""
        self._settle()
        with self._lock:
            if self._reserved + size > self.budget_bytes:
                return False
            self._reserved += size
            return True

    def release(self, size: int) -> None:
        """Give back what was reserved."""
        with self._lock:
            self._reserved -= size

    def keep(self) -> KeptBlocks | None:
        """All blocks of the plan, kept for one more stream until it calls `leave`; None: there is no room.

        They take half of what is free at most, and leave room for a stream of each split.
        """
        self._settle()
        with self._lock:
            if self._kept is None:
                size = kept_bytes(self.plan, self.row_bytes)
                if not self._blocks.remembered or self._needs_beside(size) > self.unreserved:
                    return None
                self._kept = KeptBlocks(self.plan, self._blocks, self.width, self._groups.forget)
                self._reserved += size
            self._keepers += 1
            return self._kept

    def _needs_beside(self, size: int) -> int:
        """Bytes that have to be free where `size` bytes of blocks are kept."""
        rows, pool = size // self.row_bytes, self.plan.order.pool
        splits: tuple[Split, ...] = ("train", "validation", "test")
        places = sum(place_bytes(self.plan, split, 1, rows, pool=pool) for split in splits)
        return max(2 * size, size + places)

    def leave(self) -> None:
        """Take one `keep` back; the blocks go with the last one."""
        with self._lock:
            self._keepers -= 1
            if not self._keepers:
                self._kept = None
                self._reserved -= kept_bytes(self.plan, self.row_bytes)

    @property
    def unreserved(self) -> int:
        """Bytes of the budget that no stream has reserved."""
        return self.budget_bytes - self._reserved

    def at_hand(self, superblock: int) -> bool:
        """Whether the block of a superblock is known to be in memory, and needs only to be copied."""
        known = self._blocks.remembered and not self._in_parts
        return known and self._groups.hold(self._blocks[superblock].groups)

    def load_block(
        self,
        superblock: int,
        values: NDArray[np.float32],
        times: NDArray[np.int64],
        told: Told | None = None,
        moments: Moments | None = None,
    ) -> int:
        """Fill the first rows of `values` [n, F] and `times` [n] with the block of a superblock.

        Gives the step of its times: see `common_step`.

        `told` is called with what the block needs: see `Fetches.count`; `moments` says when each row group is
        needed next, for the cache on disk.
        """
        block = self._blocks[superblock]
        needed = None if moments is None else partial(moments, superblock)
        self._copy(block.moves, values, times, self._counted(superblock, told), needed)
        return block.step(times)

    def block(self, superblock: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Values [n, F] and times [n] of a superblock's block, to be read only, for whoever needs it once."""
        self._settle()
        kept = self._kept
        if kept is not None and (loaded := kept.loaded(superblock)):
            return loaded
        rows = int(self.plan.block_rows[superblock])
        values, times = np.empty((rows, self.width), np.float32), np.empty(rows, np.int64)
        self.load_block(superblock, values, times)
        return values, times

    def read(self, first: NDArray[np.int64], count: int) -> Rows:
        """Read `count` logical rows from each of `first` [k] on; k·count rows."""
        total = len(first) * count
        rows = Rows(np.empty((total, self.width), np.float32), np.empty(total, np.int64))
        self.read_into(first, np.full(len(first), count), np.arange(len(first)) * count, rows)
        return rows

    def read_into(
        self, first: NDArray[np.int64], counts: NDArray[np.int64], places: NDArray[np.int64], rows: Rows
    ) -> None:
        """Copy `counts` [k] logical rows, from each of `first` [k] on, to each of `places` in `rows`."""
        held = counts > 0
        if held.any():
            copies = self.plan.segments.copies(first[held], counts[held], places[held])
            self._copy(moves_of(copies), rows.values, rows.times)

    def needs(self, superblock: int) -> list[tuple[int, int]]:
        """The units that a block needs, and how much of each: see `Fetches.count`."""
        if self._in_parts:
            first = self.plan.superblocks.first[superblock : superblock + 2]
            return [(superblock, int(first[1] - first[0]))]
        return [(group, 1) for group in self._blocks[superblock].groups]

    def _counted(self, superblock: int, told: Told | None) -> Callable[[int, int], None]:
        """Takes a row group and how much of it was fetched, and tells of it."""
        part = self.needs(superblock)[0] if self._in_parts else None

        def count(group: int, fetched: int) -> None:
            if told is not None:
                told(*(part or (group, 1)), fetched)

        return count

    def _copy(
        self,
        moves: Sequence[Moves],
        values: NDArray[np.float32],
        times: NDArray[np.int64],
        count: Callable[[int, int], None] = lambda group, fetched: None,
        needed: Callable[[int], tuple[float, float]] | None = None,
    ) -> None:
        for move in moves:
            until: AbstractContextManager[None] = nullcontext()
            if self.disk is not None and needed is not None:
                until = self.disk.until(*needed(move.group))
            with until:
                rows, start, fetched = self._rows_of(move)
            count(move.group, fetched)
            for row, n, to in move.rows:
                at = row - start
                values[to : to + n] = rows.values[at : at + n]
                times[to : to + n] = rows.times[at : at + n]

    def _rows_of(self, move: Moves) -> tuple[Rows, int, int]:
        """All rows of a row group, or a span of them; the number of the first, and what was fetched."""
        self._settle()
        if not self._in_parts:
            rows, fetched = self._groups.get(move.group)
            return rows, 0, int(fetched)
        rows = self._decode(move.group, rows=(move.first, move.end))
        with self._lock:
            self._parts_read += 1
        return rows, move.first, move.end - move.first
