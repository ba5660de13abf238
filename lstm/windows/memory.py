"""What a stream holds, in closed form: before anything is read, and for any number of ranks."""

import numpy as np

from lstm.windows.plan import Plan
from lstm.windows.spec import Split


def slots(superblocks: int, lanes: int, ranks: int, pool: int) -> int:
    """Blocks that a rank holds at most: two pools in each of its lanes, or all that there are."""
    return min(superblocks, 2 * -(-lanes // ranks) * pool)


def block_rows(plan: Plan, split: Split) -> int:
    """Rows of the largest block of a split, halo included; 0 if it has no window."""
    held = plan.split_windows(split).superblocks
    return int(plan.block_rows[held].max()) if len(held) else 0


def pool_windows(plan: Plan, split: Split, pool: int) -> int:
    """Windows that `pool` superblocks hold at most, in any epoch."""
    weighted = plan.weighted(split)
    most = plan.split_windows(split) if weighted is None else weighted.most()
    return int(np.sort(most.counts)[-pool:].sum())


def _most_windows(plan: Plan, split: Split) -> int:
    weighted = plan.weighted(split)
    return (plan.split_windows(split) if weighted is None else weighted.most()).total


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
    windows, lanes = plan.split_windows(split), plan.order.lanes
    if not len(windows.superblocks):
        return 0
    pool = 1 if ordered else pool or plan.order.pool
    rows = slots(len(windows.superblocks), lanes, ranks, pool) * block_rows(plan, split)
    pools = -(-lanes // ranks) * pool_windows(plan, split, pool)
    places = 2 * min(pools, _most_windows(plan, split))  # of two epochs at most
    place = 3 * np.dtype(number_type(max(rows, plan.rows))).itemsize
    return rows * row_bytes + places * place
