"""Fit a plan into memory: smaller superblocks where row groups can be read by pages, else fewer in flight.

A rank holds 2·⌈C/W⌉·P superblocks of each split that it streams (C lanes, pools of P, W ranks). What was
asked for is taken as it is where the budget holds it. Where not, row groups are cut, which costs a halo and
a page per superblock and nothing else; then pools are made smaller, which shuffles less; then there are
fewer lanes, which spreads a batch over ranks less evenly. The plan's id covers what is chosen, not the
budget.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lstm.windows.features.features import Features
from lstm.windows.plan.plan import Plan
from lstm.windows.read.memory import rank_bytes
from lstm.windows.spec import OrderSpec
from storage.tables.protocol import Snapshot

_HALOS = 4
"""A cut superblock has at least so many times the rows of its halo: 25% are read twice, at most."""
_FEWEST_LANES = 8
_LOOKED_AT = 4
"""Row groups, the largest ones, whose pages are looked at."""
_SMALLER = 0.8


def fitted(plan: Plan, snapshot: Snapshot, features: Features, *, budget_bytes: int, ranks: int = 1) -> Plan:
    """The plan, or the same windows in an order that `budget_bytes` hold on each of `ranks` ranks.

    If nothing fits it comes back as it is, and a stream of it is refused with what would.

    Args:
        plan: as it was asked for.
        snapshot: the very one that was planned.
        features: what is read.
        budget_bytes: of each rank's reader.
        ranks: ranks in all.
    """
    row_bytes = features.row_bytes
    if needed(plan, row_bytes, ranks) + _shared(plan) * row_bytes <= budget_bytes:
        return plan
    page = None if plan.nulls.carried else _page_rows(plan, snapshot, features)
    orders = [replace(plan, order=order) for order in _smaller(plan.order, ranks)]
    if page is None:
        return next((it for it in orders if needed(it, row_bytes, ranks) <= budget_bytes), plan)
    # smaller than a page only where nothing else is left: a page is then fetched for each
    for smaller, fewest in [*((it, page) for it in orders), (orders[-1], 1)]:
        if cut := _cut(smaller, fewest, row_bytes, budget_bytes, ranks):
            return cut
    return plan


def needed(plan: Plan, row_bytes: int, ranks: int) -> int:
    """Bytes that training sets aside on each rank: it streams two splits."""
    return sum(rank_bytes(plan, split, ranks, row_bytes) for split in ("train", "validation"))


def sorted_again(asked: Plan, plan: Plan, row_bytes: int, budget_bytes: int) -> str | None:
    """What to tell of row groups that are read and sorted anew for most of their superblocks; None: nothing.

    Args:
        asked: the plan before it was fitted.
        plan: as it was fitted, for one rank.
        row_bytes: of a decoded row.
        budget_bytes: of the reader.
    """
    held = plan.rows * row_bytes
    if not plan.keys.sorts or not _shared(plan) or needed(plan, row_bytes, 1) + held <= budget_bytes:
        return None
    groups = int(np.count_nonzero(plan.pieces.group_rows))
    enough = -(-(needed(asked, row_bytes, 1) + held) >> 20)
    return (
        f"the rows of {plan.table} are out of order, and its row groups ({groups}, cut into "
        f"{len(plan.superblocks)} superblocks) do not all stay in memory_mib={budget_bytes >> 20}: they are "
        "read whole and sorted again and again in every epoch; write them sorted into another table with "
        f"`carousel tables cluster`, or give memory_mib={enough}"
    )


def _smaller(order: OrderSpec, ranks: int) -> Iterator[OrderSpec]:
    """What was asked for, then less and less."""
    lanes, fewest = order.lanes, max(ranks, _FEWEST_LANES)
    while True:
        pool = order.pool
        while pool:
            yield replace(order, lanes=lanes, pool=pool)
            pool //= 2
        if lanes <= fewest:
            return
        lanes = max(lanes // 2, fewest)


def _shared(plan: Plan) -> int:
    """Rows of row groups that hold several superblocks: each is fetched again and again unless it stays."""
    whole = int(np.count_nonzero(plan.pieces.group_rows))
    return plan.rows if len(plan.superblocks) > whole else 0


def _cut(plan: Plan, page: int, row_bytes: int, budget_bytes: int, ranks: int) -> Plan | None:
    """The plan with the largest superblocks that fit, if they have `page` rows, and four times their halo.

    Or those rows that they have anyway, where a table of few row groups is cut.
    """
    rows = int(np.diff(plan.superblocks.first).max())
    fewest = max(min(page, rows), min(_HALOS * plan.window.length, rows))
    rows = int(min(rows, rows * budget_bytes / needed(plan, row_bytes, ranks)))
    while rows >= fewest:
        smaller = replace(plan, order=replace(plan.order, superblock_rows=rows))
        if needed(smaller, row_bytes, ranks) <= budget_bytes:
            return smaller
        rows = int(rows * _SMALLER)
    return None


def _page_rows(plan: Plan, snapshot: Snapshot, features: Features) -> int | None:
    """Rows of the largest page of the largest row groups; None: one of them cannot be read by pages."""
    pieces, snapshot = plan.pieces, plan.view_of(snapshot)
    largest = np.argsort(pieces.group_rows, kind="stable")[-_LOOKED_AT:].tolist()
    pages = []
    for group in largest:
        file, number = pieces.row_group(group)
        pages.append(snapshot.page_rows(snapshot.files[file], number, [*features.names, plan.keys.time]))
    known = [rows for rows in pages if rows is not None]
    return max(known) if len(known) == len(pages) else None
