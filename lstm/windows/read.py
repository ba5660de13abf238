"""Blocks of rows, decoded to float32, within a budget of bytes.

Each row group is fetched whole, decoded, and kept while the budget has room beside what streams have
reserved for their blocks. One row group per loading thread is in flight beyond the budget.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lstm.windows.column import Column
from lstm.windows.features import Features
from lstm.windows.foresight import Moments
from lstm.windows.plan import Plan
from lstm.windows.row_groups import RowGroups, Rows, decode
from lstm.windows.segments import Copies
from lstm.windows.vocabulary import Vocabulary
from storage.disk_cache import DiskCache
from storage.tables.protocol import Snapshot
from storage.tables.snapshot import keep_on


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
        self._reserved = 0
        self._lock = threading.Lock()
        self._groups = RowGroups(
            lambda group: decode(snapshot, plan, group, self.features),
            lambda: self.budget_bytes - self._reserved,
        )

    @property
    def row_bytes(self) -> int:
        """Bytes of a decoded row: its features and its time."""
        return 4 * self.width + 8

    @property
    def loads(self) -> int:
        """Row groups fetched and decoded so far, each repetition counted."""
        return self._groups.loads

    def reserve(self, size: int) -> bool:
        """Set `size` bytes of the budget aside for a stream's blocks; False: there is no room."""
        with self._lock:
            if self._reserved + size > self.budget_bytes:
                return False
            self._reserved += size
            return True

    def release(self, size: int) -> None:
        """Give back what was reserved."""
        with self._lock:
            self._reserved -= size

    @property
    def unreserved(self) -> int:
        """Bytes of the budget that no stream has reserved."""
        return self.budget_bytes - self._reserved

    def load_block(
        self,
        superblock: int,
        values: NDArray[np.float32],
        times: NDArray[np.int64],
        told: Callable[[int, bool], None] | None = None,
        moments: Moments | None = None,
    ) -> None:
        """Fill the first rows of `values` [n, F] and `times` [n] with the block of a superblock.

        `told` is called with each row group that it needs, and whether that had to be fetched; `moments` says
        when each of them is needed next, for the cache on disk.
        """
        parts = self.plan.superblocks.parts(np.array([superblock]))
        held = parts.stored > 0
        copies = self.plan.segments.copies(parts.first[held], parts.stored[held], parts.offset[held])
        needed = None if moments is None else partial(moments, superblock)
        self._copy(copies, values, times, told, needed)

    def read(self, first: NDArray[np.int64], count: int) -> Rows:
        """Read `count` logical rows from each of `first` [k] on; k·count rows."""
        total = len(first) * count
        rows = Rows(np.empty((total, self.width), np.float32), np.empty(total, np.int64))
        if total:
            counts = np.full(len(first), count)
            copies = self.plan.segments.copies(first, counts, np.arange(len(first)) * count)
            self._copy(copies, rows.values, rows.times)
        return rows

    def _copy(
        self,
        copies: Copies,
        values: NDArray[np.float32],
        times: NDArray[np.int64],
        told: Callable[[int, bool], None] | None = None,
        needed: Callable[[int], tuple[float, float]] | None = None,
    ) -> None:
        order = np.argsort(copies.group, kind="stable")
        held: int | None = None
        for group, row, count, place in zip(
            copies.group[order].tolist(),
            copies.row[order].tolist(),
            copies.count[order].tolist(),
            copies.place[order].tolist(),
            strict=True,
        ):
            if group != held:
                until: AbstractContextManager[None] = nullcontext()
                if self.disk is not None and needed is not None:
                    until = self.disk.until(*needed(group))
                with until:
                    (rows, fetched), held = self._groups.get(group), group
                if told is not None:
                    told(group, fetched)
            values[place : place + count] = rows.values[row : row + count]
            times[place : place + count] = rows.times[row : row + count]
