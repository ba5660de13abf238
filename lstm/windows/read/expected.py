"""What an epoch will fetch, before anything is read: which row groups its blocks need, and how often.

A block needs the row groups of its own rows and of its halo. A row group that several blocks need is fetched
once where it stays in memory between them, else anew: what stays follows from the order of the epoch and the
budget, so the reading of an epoch is walked through here with sizes in the place of rows.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows.index.segments import Copies
from lstm.windows.order.order import EpochOrder
from lstm.windows.plan.plan import Plan
from lstm.windows.read.memory import rank_bytes
from lstm.windows.read.read import reads_parts
from lstm.windows.spec import Split


@dataclass(frozen=True, slots=True)
class Reading:
    """What one rank reads in one epoch: row groups, or rows where the plan has parts of row groups read."""

    needed: int
    """What the rank's windows need: row groups with those of halos, or rows of its superblocks."""
    uses: int
    """What would be fetched if nothing stayed in memory."""
    fetched: int
    """What will be fetched, with the budget that there is; of pages the rows that blocks hold."""
    rows: int
    """Rows of what is needed."""
    row_groups: int
    """Row groups touched."""

    @property
    def amplification(self) -> float:
        """Fetched ÷ needed, as `WindowStream.read_amplification` will measure it."""
        return self.fetched / self.needed

    @property
    def worst(self) -> float:
        """The same if no row group stayed in memory."""
        return self.uses / self.needed


def expected_reading(
    plan: Plan,
    split: Split,
    *,
    row_bytes: int,
    budget_bytes: int,
    seed: int = 0,
    rank: int = 0,
    ranks: int = 1,
    ordered: bool = False,
) -> Reading:
    """Walk through epoch 0 of a stream that alone has a reader of this budget: some microseconds per use.

    Args:
        plan: which windows there are.
        split: one that has windows.
        row_bytes: of a decoded row, as `WindowReader.row_bytes` says.
        budget_bytes: of the reader.
        seed: of the stream, as rank, ranks and ordered.
        rank: this rank.
        ranks: ranks in all.
        ordered: nothing is shuffled.
    """
    order = EpochOrder(
        plan.split_windows(split).counts,
        lanes=plan.order.lanes,
        pool=1 if ordered else plan.order.pool,
        seed=seed,
        epoch=0,
        shuffled=not ordered,
    )
    blocks = plan.split_windows(split).superblocks[_as_loaded(order, rank, ranks)]
    if reads_parts(plan):
        return _in_parts(plan, blocks)
    first, groups = _groups_of_blocks(plan)
    room = budget_bytes - rank_bytes(plan, split, ranks, row_bytes, ordered=ordered)
    sizes = (plan.pieces.group_rows * row_bytes).tolist()
    kept: OrderedDict[int, None] = OrderedDict()
    held = uses = fetched = 0
    for block in blocks.tolist():
        for group in groups[first[block] : first[block + 1]].tolist():
            uses += 1
            if group in kept:
                kept.move_to_end(group)
                continue
            fetched += 1
            kept[group] = None
            held += sizes[group]
            while held > room and kept:
                held -= sizes[kept.popitem(last=False)[0]]
    needed = np.unique(groups[_ranges(first[blocks], first[blocks + 1])])
    return Reading(len(needed), uses, fetched, int(plan.pieces.group_rows[needed].sum()), len(needed))


def _in_parts(plan: Plan, blocks: NDArray[np.int64]) -> Reading:
    """Of each row group that a block touches, the rows from the first to the last one that it holds."""
    wanted = np.isin(np.arange(len(plan.superblocks)), blocks)
    fetched, touched = 0, np.zeros(len(plan.pieces.group_rows), np.bool_)
    for block, copies in _copies_of_blocks(plan):
        order = np.lexsort((copies.group, block))
        order = order[wanted[block[order]]]
        if not len(order):
            continue
        ahead = np.flatnonzero(np.diff(block[order], prepend=-1) | np.diff(copies.group[order], prepend=-1))
        low = np.minimum.reduceat(copies.row[order], ahead)
        high = np.maximum.reduceat((copies.row + copies.count)[order], ahead)
        fetched += int((high - low).sum())
        touched[copies.group[order]] = True
    rows = int(np.diff(plan.superblocks.first)[blocks].sum())
    return Reading(rows, fetched, fetched, rows, int(touched.sum()))


def _groups_of_blocks(plan: Plan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every block where its row groups begin in the second array: ascending, each once."""
    count = len(plan.pieces.group_rows)
    found = [np.empty(0, np.int64)]
    for block, copies in _copies_of_blocks(plan):
        pairs = np.sort(block * count + copies.group)  # np.unique hashes: ten times as slow
        found.append(pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])])
    pairs = np.concatenate(found)  # superblocks ascend
    return np.searchsorted(pairs, np.arange(len(plan.superblocks) + 1) * count), pairs % count


def _copies_of_blocks(plan: Plan) -> Iterator[tuple[NDArray[np.int64], Copies]]:
    """What all blocks copy out of row groups, some blocks at a time; with the block that each copy is for."""
    for numbers, parts in plan.superblocks.all_parts():
        held = np.flatnonzero(parts.stored)
        if not len(held):
            continue
        stored = parts.stored[held]
        places = np.cumsum(stored) - stored
        copies = plan.segments.copies(parts.first[held], stored, places)
        owner = parts.owner[held][np.searchsorted(places, copies.place, side="right") - 1]
        yield numbers[owner], copies


def _as_loaded(order: EpochOrder, rank: int, ranks: int) -> NDArray[np.int64]:
    """A rank's superblocks as they are asked for: each pool when its lane enters the one before."""
    loads = []
    for lane in range(rank, order.lanes, ranks):
        for pool in range(order.pools(lane)):
            entered = order.pool_span(lane, pool - 1)[0] if pool else -1
            loads.append(((2 * entered + 1) / (2 * order.lane_windows[lane]), lane, pool))
    pools = [order.pool_superblocks(lane, pool) for _, lane, pool in sorted(loads)]
    return np.concatenate(pools) if pools else np.empty(0, np.int64)


def _ranges(first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """All numbers of the ranges [first, end), one range after the other."""
    sizes = end - first
    numbers: NDArray[np.int64] = np.arange(int(sizes.sum())) + np.repeat(
        first - (np.cumsum(sizes) - sizes), sizes
    )
    return numbers
