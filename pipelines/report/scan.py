"""A pass over the rows that a run reads: what is missing, where, and how evenly the rows are spaced.

Bounded: of a large table some row groups are read, evenly spread, and the page says how many.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows import Plan
from lstm.windows.features.features import Features
from lstm.windows.features.row_groups import decode
from storage.tables import Snapshot

ROWS = 2_000_000
"""Rows of a scan; a table with more is sampled by row groups."""
STRETCHES = 96
"""Parts that the table's span of time is divided into."""
SERIES = 200
"""Series up to which each one is measured over time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """What was counted, by column, by stretch of time, by series."""

    rows: int
    groups: int
    groups_of: int
    missing: NDArray[np.int64]
    """[columns] rows without a value."""
    infinite: NDArray[np.int64]
    """[columns]"""
    starts: NDArray[np.int64]
    """[stretches] first time of each."""
    stretch_rows: NDArray[np.int64]
    """[stretches]"""
    stretch_missing: NDArray[np.int64]
    """[stretches] rows without a target."""
    known: NDArray[np.int64] | None
    """[series, stretches] rows with a target; None: the series are too many, or only a part was read."""
    expected: NDArray[np.float64]
    """[stretches] rows that a series without gaps would have."""
    steps: int
    uneven: int
    """Steps between neighbouring rows of a series that are not the usual one."""

    @property
    def whole(self) -> bool:
        """Whether all rows were read."""
        return self.groups == self.groups_of


def scan(snapshot: Snapshot, plan: Plan, columns: tuple[str, ...]) -> Scan:
    """Read `columns`, the target first, of at most about ROWS rows.

    Raises:
        UserError: the snapshot cannot be read any more.
    """
    pieces, segments = plan.pieces, plan.segments
    groups, groups_of = _chosen(pieces.group_rows)
    first, last = int(pieces.first_time.min()), int(pieces.last_time.max())
    stretches = min(STRETCHES, max(1, (last - first) // max(1, plan.interval) + 1))
    edges = np.linspace(first, last + 1, stretches + 1)
    whole = len(groups) == groups_of
    known = (
        np.zeros((len(plan.series), stretches), np.int64) if whole and len(plan.series) <= SERIES else None
    )
    missing, infinite = np.zeros(len(columns), np.int64), np.zeros(len(columns), np.int64)
    stretch_rows, stretch_missing = np.zeros(stretches, np.int64), np.zeros(stretches, np.int64)
    rows = steps = uneven = 0
    features = Features(plan.view_of(snapshot).schema, columns)
    for group in groups.tolist():
        read = decode(snapshot, plan, group, features)
        rows += len(read.times)
        unknown = np.isnan(read.values)
        missing += unknown.sum(0)
        infinite += np.isinf(read.values).sum(0)
        place = np.clip(np.searchsorted(edges, read.times, side="right") - 1, 0, stretches - 1)
        stretch_rows += np.bincount(place, minlength=stretches)
        stretch_missing += np.bincount(place[unknown[:, 0]], minlength=stretches)
        held, _ = segments.group_pieces(group)
        series = np.repeat(pieces.series[held], pieces.rows[held])
        step = np.diff(read.times)[series[1:] == series[:-1]]
        steps += len(step)
        uneven += int(np.count_nonzero(step != plan.interval))
        if known is not None:
            np.add.at(known, (series, place), ~unknown[:, 0])
    return Scan(
        rows=rows,
        groups=len(groups),
        groups_of=groups_of,
        missing=missing,
        infinite=infinite,
        starts=edges[:-1].astype(np.int64),
        stretch_rows=stretch_rows,
        stretch_missing=stretch_missing,
        known=known,
        expected=np.maximum(1.0, np.diff(edges) / max(1, plan.interval)),
        steps=steps,
        uneven=uneven,
    )


def _chosen(group_rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Row groups to read, and how many hold rows."""
    held = np.flatnonzero(group_rows)
    total = int(group_rows.sum())
    if total <= ROWS:
        return held, len(held)
    count = max(1, len(held) * ROWS // total)
    return held[np.linspace(0, len(held) - 1, count).astype(np.int64)], len(held)
