"""The memory that a stream sets aside of its reader's budget, and the shelf that its blocks stand on.

Where the budget holds all blocks of the plan twice they are kept, and shared with other streams; else a
stream holds those of the pools that its lanes stand in, and of the next ones.
"""

from concurrent.futures import Executor

from lstm.windows.errors import BudgetTooSmall
from lstm.windows.order.foresight import Foresight
from lstm.windows.order.schedule import Schedule
from lstm.windows.plan.plan import Plan
from lstm.windows.read.memory import block_rows, place_bytes, rank_bytes, slots
from lstm.windows.read.process import Home
from lstm.windows.read.read import WindowReader
from lstm.windows.read.shelf import KeepingShelf, PassingShelf, Shelf
from lstm.windows.spec import Split


class Room:
    """Bytes of a reader's budget, until `close`."""

    def __init__(
        self, reader: WindowReader, plan: Plan, split: Split, schedule: Schedule, *, ranks: int, ordered: bool
    ) -> None:
        """Set aside what one of `ranks` ranks needs to stream a split in the order of `schedule`.

        Raises:
            BudgetTooSmall: the budget cannot hold the blocks that this rank needs.
        """
        self._reader, self._plan, self._split, self._schedule = reader, plan, split, schedule
        self._ranks, self._ordered = ranks, ordered
        self._home = Home()
        self._kept = reader.keep()
        if self._kept is not None:
            rows = len(self._kept.times)
            self._reserved = place_bytes(plan, split, ranks, rows, pool=schedule.pool)
            if reader.reserve(self._reserved):
                return
            reader.leave()
            self._kept = None
        self._reserved = self._needed(ranks, schedule.pool)
        if not reader.reserve(self._reserved):
            raise BudgetTooSmall(self._too_small())

    def shelf(self, loaders: Executor, worker: Executor, foresight: Foresight | None) -> Shelf:
        """Where the blocks stand that this memory is for; its arguments are those of `Shelf`."""
        if self._kept is not None:
            return KeepingShelf(self._reader, self._kept, loaders, worker, foresight)
        held = len(self._schedule.windows.superblocks)
        room = slots(held, self._plan.order.lanes, self._ranks, self._schedule.pool)
        rows = block_rows(self._plan, self._split)
        return PassingShelf(self._reader, room, rows, loaders, worker, foresight)

    def close(self) -> None:
        """Give the bytes back, once; the shelf must not be used after."""
        if self._home.left:
            return  # the reader there has begun anew, or will
        reserved, kept = self._reserved, self._kept
        self._reserved, self._kept = 0, None
        self._reader.release(reserved)
        if kept is not None:
            self._reader.leave()

    def _needed(self, ranks: int, pool: int) -> int:
        """Bytes of a rank's blocks, and of where their windows lie."""
        return rank_bytes(
            self._plan, self._split, ranks, self._reader.row_bytes, ordered=self._ordered, pool=pool
        )

    def _too_small(self) -> str:
        """What does not fit, and what would."""
        ranks, pool, lanes = self._ranks, self._schedule.pool, self._plan.order.lanes
        free = self._reader.unreserved
        enough_bytes = self._reader.budget_bytes - free + self._reserved
        fits = [f"a budget of {enough_bytes:,} bytes (training.memory_mib {-(-enough_bytes >> 20)})"]
        if (held := self._reader.budget_bytes - free) and enough_bytes - held <= self._reader.budget_bytes:
            fits.append(f"to close the streams of this reader that hold the other {held:,} bytes")
        if smaller := [fewer for fewer in range(1, pool) if self._needed(ranks, fewer) <= free]:
            fits.append(f"order.pool {smaller[-1]} (now {pool}) in a new run")
        if enough := [more for more in range(ranks + 1, lanes + 1) if self._needed(more, pool) <= free]:
            fits.append(f"{enough[0]} ranks with this budget each")
        rows = block_rows(self._plan, self._split)
        return (
            f"the {self._split} split needs {self._reserved:,} bytes on each of {ranks} ranks: 2 pools of "
            f"{pool} superblocks in each of {-(-lanes // ranks)} lanes, {rows} rows of "
            f"{self._reader.row_bytes} bytes each, and where their windows lie; {free:,} bytes of the budget "
            "are free. What would fit: " + "; or ".join(fits)
        )
