"""From an index to a plan: where splits lie, and whether each has windows. Costs per piece, not per row."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lstm.windows.errors import EmptySplit, TooFewRows
from lstm.windows.index.index import SequenceIndex
from lstm.windows.index.overlaps import check_overlaps
from lstm.windows.index.segments import chain
from lstm.windows.plan.nulls import find_nulls
from lstm.windows.plan.plan import Plan
from lstm.windows.plan.splits import boundaries_of, cut_at
from lstm.windows.plan.weights import weights_of
from lstm.windows.spec import OrderSpec, SplitSpec, WindowSpec


def make_plan(index: SequenceIndex, window: WindowSpec, split: SplitSpec, order: OrderSpec) -> Plan:
    """Count windows per segment and split, and find what the splits and null policies come to.

    Raises:
        DuplicateRows, UnsortedTable: row groups repeat or interleave rows of a series.
        MissingValues: a column whose null policy is `error` lacks a value.
        TooFewRows: no segment holds a window.
        EmptySplit: training, or another split with a share, holds no window.
    """
    check_overlaps(index)
    pieces = index.pieces
    segments = chain(pieces, index.links)
    longest = int(segments.rows.max())
    if longest < window.length:
        raise TooFewRows(
            f"the longest of {len(segments.series)} segments has {longest} rows, but a window needs "
            f"{window.length} (context {window.context} + horizon {window.horizon}); lower them, "
            "or raise max_gap"
        )
    first, last = int(pieces.first_time.min()), int(pieces.last_time.max())
    splits = boundaries_of(split, first, last, index.interval, ordinal=index.keys.ordinal)
    times = sorted({time for bounds in splits.values() for time in bounds if time is not None})
    plan = Plan(
        table=index.snapshot.table,
        snapshot_id=index.snapshot.id,
        files=tuple(file.identity for file in index.snapshot.files),
        column_identities=tuple(index.snapshot.column_identity(column) for column in index.keys.columns),
        keys=index.keys,
        window=window,
        split=split,
        order=order,
        series=index.series,
        interval=index.interval,
        pieces=pieces,
        splits=splits,
        cuts={time: cut_at(time, index, segments) for time in times},
        nulls=find_nulls(index, segments, window),
    )
    vars(plan)["segments"] = segments  # what its property would find
    _refuse_empty_splits(plan)
    weights = weights_of(order, plan.series, plan.windows_by_series("train"))
    return plan if weights is None else _weighted(plan, weights)


def _weighted(plan: Plan, weights: NDArray[np.float64]) -> Plan:
    weighted = replace(plan, weights=weights)
    vars(weighted)["segments"] = plan.segments  # as above
    return weighted


def _refuse_empty_splits(plan: Plan) -> None:
    for split in plan.split.wanted:
        if not plan.windows(split):
            say = plan.keys.say
            first, end = (None if time is None else say(time) for time in plan.splits[split])
            if dropped := plan.dropped(split):
                names = [name for name, policy in plan.nulls.policies.items() if policy == "drop_window"]
                raise EmptySplit(
                    f"all {dropped} windows of the {split} split hold a missing value of {', '.join(names)}, "
                    "which drops them; choose mask, or for single numbers forward_fill, or shorter windows"
                )
            if plan.split.holds_out(split):
                raise EmptySplit(
                    f"the entities held out for the {split} split have no stretch of {plan.window.length} "
                    "rows; hold others out, or lower context or horizon"
                )
            on_grid = "; on a grid it ends with a row of the table" if plan.keys.grid is not None else ""
            raise EmptySplit(
                f"no window has its whole horizon of {plan.window.horizon} rows in the {split} split (times "
                f"from {first or 'the first row'} to before {end or 'the end'}; the table spans "
                f"{say(int(plan.pieces.first_time.min()))} to {say(int(plan.pieces.last_time.max()))}"
                f"{on_grid}); change the shares or times of the splits, lower context or horizon, or ingest "
                "more rows"
            )
