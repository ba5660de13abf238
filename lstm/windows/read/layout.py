"""How the rows of a table lie in its files, told from its pieces, and what another layout would save."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lstm.windows.index.segments import Pieces
from lstm.windows.plan.plan import Plan
from lstm.windows.read.expected import Reading, expected_reading
from lstm.windows.spec import Split

Kind = Literal["sorted", "by entity", "by time", "scattered"]
_APART = 1.5
"""A moment that lies in this many files (or row groups) on average still counts as lying in one."""

SAID: dict[Kind, str] = {
    "sorted": "sorted by entity and time",
    "by entity": "each entity's rows together",
    "by time": "cut by time, with all entities in each part",
    "scattered": "scattered: parts of an entity lie here and there",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table lies, and what reading an epoch of one split costs because of it."""

    kind: Kind
    halo: float
    """Rows of the blocks ÷ rows of their superblocks: 1 + halo ÷ superblock."""
    reading: Reading
    """As the table lies."""
    if_sorted: Reading
    """As it would be, sorted by entity and time into as many row groups."""

    @property
    def saving(self) -> float:
        """Share of what an epoch fetches that sorting the table would save."""
        return max(0.0, 1 - self.if_sorted.fetched / self.reading.fetched)


def layout_of(plan: Plan, split: Split, *, row_bytes: int, budget_bytes: int, ranks: int = 1) -> Layout:
    """Tell the layout, and walk through an epoch of rank 0 as it is and as it would be. See `expected`."""
    blocks = plan.split_windows(split).superblocks
    rows = np.diff(plan.superblocks.first)[blocks]

    def read(of: Plan) -> Reading:
        return expected_reading(of, split, row_bytes=row_bytes, budget_bytes=budget_bytes, ranks=ranks)

    kind = kind_of(plan)
    reading = read(plan)
    return Layout(
        kind=kind,
        halo=float(plan.block_rows[blocks].sum() / rows.sum()),
        reading=reading,
        if_sorted=reading if kind == "sorted" else read(clustered(plan)),
    )


def kind_of(plan: Plan) -> Kind:
    """The layout that the order of the pieces shows."""
    series = plan.pieces.series
    if np.array_equal(plan.segments.chained, np.arange(len(series))):
        return "sorted"
    if int(np.count_nonzero(np.diff(series))) == len(plan.series) - 1:
        return "by entity"
    group = np.repeat(np.arange(len(plan.pieces.group_rows)), np.diff(plan.segments.group_piece))
    parts = [group]
    if len(plan.files) > 1:
        parts.append(plan.pieces.group_file[group].astype(np.int64))
    return "by time" if min(_parts_at_once(plan, part) for part in parts) <= _APART else "scattered"


def clustered(plan: Plan) -> Plan:
    """The same windows in a table that is sorted by entity and time, in as many row groups.

    Its times inside segments are made up, so it serves to count with and for nothing else.
    """
    segments, rows = plan.segments, plan.rows
    size = -(-rows // max(1, int(np.count_nonzero(plan.pieces.group_rows))))
    edges = np.arange(0, rows, size)
    first = np.union1d(segments.first[:-1], edges)
    counts = np.diff(np.append(first, rows))
    segment = np.searchsorted(segments.first, first, side="right") - 1
    begins = plan.pieces.first_time[segments.chained[segments.first_piece[:-1]]]
    place = np.arange(len(first)) - np.searchsorted(first, segments.first[:-1])[segment]
    times = begins[segment] + place  # one tick apart: no gap, and never beyond the segment's own rows
    groups = np.diff(np.append(edges, rows))
    return replace(
        plan,
        pieces=Pieces(
            group_file=np.zeros(len(groups), np.int32),
            group_number=np.arange(len(groups), dtype=np.int32),
            group_rows=groups,
            series=segments.series[segment].astype(np.int32),
            rows=counts.astype(np.int32),
            first_time=times,
            last_time=times,
        ),
    )


def _parts_at_once(plan: Plan, part: NDArray[np.int64]) -> float:
    """In how many parts of the table a moment lies on average; `part` [n pieces] is ascending."""
    begins = np.flatnonzero(np.concatenate([[True], np.diff(part) > 0]))
    first = np.minimum.reduceat(plan.pieces.first_time, begins)
    last = np.maximum.reduceat(plan.pieces.last_time, begins)
    span = int(last.max() - first.min()) + plan.interval
    return float((last - first + plan.interval).sum() / span)
