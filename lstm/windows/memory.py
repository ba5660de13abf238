"""What the blocks of a stream take, in closed form: before anything is read, and for any number of ranks."""

from lstm.windows.plan import Plan
from lstm.windows.spec import Split


def slots(superblocks: int, lanes: int, ranks: int, pool: int) -> int:
    """Blocks that a rank holds at most: two pools in each of its lanes, or all that there are."""
    return min(superblocks, 2 * -(-lanes // ranks) * pool)


def block_rows(plan: Plan, split: Split) -> int:
    """Rows of the largest block of a split, halo included; 0 if it has no window."""
    held = plan.split_windows(split).superblocks
    return int(plan.superblocks.block_rows[held].max()) if len(held) else 0


def rank_bytes(plan: Plan, split: Split, ranks: int, row_bytes: int, *, ordered: bool = False) -> int:
    """Bytes that a stream sets aside for its blocks on each of `ranks` ranks.

    Args:
        plan: which windows there are.
        split: whose windows are streamed.
        ranks: ranks in all.
        row_bytes: of a decoded row, as `WindowReader.row_bytes` says.
        ordered: as the stream's.
    """
    held = len(plan.split_windows(split).superblocks)
    pool = 1 if ordered else plan.order.pool
    return slots(held, plan.order.lanes, ranks, pool) * block_rows(plan, split) * row_bytes
