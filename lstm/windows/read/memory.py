"""What a stream holds, in closed form: before anything is read, and for any number of ranks."""

import numpy as np

from lstm.windows.plan.plan import Plan
from lstm.windows.plan.superblocks import SplitWindows
from lstm.windows.spec import Split


def slots(superblocks: int, lanes: int, ranks: int, pool: int) -> int:
    """Blocks that a rank holds at most: two pools in each of its lanes, or all that there are."""
    return min(superblocks, 2 * -(-lanes // ranks) * pool)


def block_rows(plan: Plan, split: Split) -> int:
    """Rows of the largest block of a split, halo included; 0 if it has no window."""
    held = plan.split_windows(split).superblocks
    return int(plan.block_rows[held].max()) if len(held) else 0


def most_windows(plan: Plan, split: Split) -> SplitWindows:
    """As many windows as an epoch has of each superblock, at most."""
    weighted = plan.weighted(split)
    return plan.split_windows(split) if weighted is None else weighted.most()


def pool_windows(windows: SplitWindows, pool: int) -> int:
    """Windows that `pool` superblocks hold at most."""
    return int(np.sort(windows.counts)[-pool:].sum())


def lane_windows(windows: SplitWindows, lanes: int, pool: int) -> int:
    """Windows that a pool of one of `lanes` lanes holds at most.

    A lane that gets a superblock had no more windows than any other: it ends with no more than its share and
    those of that superblock.
    """
    share = -(-windows.total // lanes) + int(windows.counts.max(initial=0))
    return min(pool_windows(windows, pool), share)


def number_type(most: int) -> type[np.signedinteger]:
    """Of numbers up to `most` of which there is one per window: half the memory where they fit."""
    return np.int32 if most < 2**31 else np.int64


def rank_bytes(
    plan: Plan,
    split: Split,
    ranks: int,
    row_bytes: int,
    *,
    ordered: bool = False,
    pool: int | None = None,
) -> int:
    """Bytes that a stream sets aside on each of `ranks` ranks: its blocks, and where their windows lie.

    Args:
        plan: which windows there are.
        split: whose windows are streamed.
        ranks: ranks in all.
        row_bytes: of a decoded row, as `WindowReader.row_bytes` says.
        ordered: as the stream's.
        pool: superblocks of a pool; None: the plan's.
    """
    held = len(plan.split_windows(split).superblocks)
    pool = 1 if ordered else pool or plan.order.pool
    rows = slots(held, plan.order.lanes, ranks, pool) * block_rows(plan, split)
    return rows * row_bytes + place_bytes(plan, split, ranks, rows, pool=pool)


def place_bytes(plan: Plan, split: Split, ranks: int, rows: int, *, pool: int) -> int:
    """Bytes of where the windows of a stream's pools lie in `rows` rows of blocks."""
    if not len(plan.split_windows(split).superblocks):
        return 0
    most = most_windows(plan, split)
    lanes = -(-plan.order.lanes // ranks)
    places = 2 * min(lanes * pool_windows(most, pool), most.total)  # of two epochs at most
    return places * 3 * np.dtype(number_type(max(rows, plan.rows))).itemsize
