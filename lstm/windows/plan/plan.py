"""Everything that decides which windows there are and in which order; its hash is the plan id.

A plan is made once from a snapshot's index (`planning`), and a run's first commit freezes it (`to_bytes`).
What a stream needs beyond its small records is derived from them, the same on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm.windows.errors import PlanMismatch
from lstm.windows.index.grid_rows import Filling, as_read
from lstm.windows.index.runs import Entity
from lstm.windows.index.segments import Pieces, Segments, chain, link
from lstm.windows.plan import laid_out
from lstm.windows.plan.dropped import count_dropped
from lstm.windows.plan.hold_out import held_out
from lstm.windows.plan.nulls import NO_NULLS, Nulls
from lstm.windows.plan.plan_id import plan_id
from lstm.windows.plan.splits import Boundaries, Cut, first_rows, start_ranges
from lstm.windows.plan.superblocks import (
    SplitWindows,
    Superblocks,
    Survey,
    cut_superblocks,
    survey,
    windows_of,
)
from lstm.windows.plan.weights import Weighted
from lstm.windows.spec import HELD_OUT, SPLITS, OrderSpec, Split, SplitSpec, WindowSpec
from lstm.windows.table.keys import Keys
from storage.tables.protocol import Snapshot

StartRanges = dict[Split, tuple[NDArray[np.int64], NDArray[np.int64]]]
"""By split, [m] each: first and last row of each segment at which its windows start."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Which windows there are. Made by `make_plan`, or read back by `from_bytes`."""

    table: str
    snapshot_id: str
    files: tuple[str, ...]
    """Identities of the snapshot's files."""
    column_identities: tuple[str, ...]
    """What the key columns mean inside the files."""
    keys: Keys
    window: WindowSpec
    split: SplitSpec
    order: OrderSpec
    series: tuple[Entity, ...]
    """Entities by series number, ascending; (None,) for a table without an entity column."""
    interval: int
    """Usual time between two rows of a series, microseconds (or ordinals)."""
    pieces: Pieces
    splits: Boundaries
    """Times [first, end) that a horizon of each split lies in wholly; None: open."""
    cuts: Mapping[int, Cut]
    """By time: where the splits' boundaries cut segments."""
    nulls: Nulls = NO_NULLS
    """Null policies other than `mask`, and what they come to."""
    weights: NDArray[np.float64] | None = None
    """[s] how often a training window of each series comes in an epoch, on average; None: once in each."""

    @cached_property
    def id(self) -> str:
        """64 hexadecimal digits; see `plan_id`."""
        return plan_id(self)

    def view_of(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot as the plan reads it: row groups in order, and on its grid."""
        return as_read(snapshot, self.keys, self._filling)

    @cached_property
    def _filling(self) -> Filling | None:
        """None: the plan's rows are the table's."""
        return None if self.pieces.stored is None else Filling(self.keys, self.files, self.pieces)

    def table_view_of(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot as `view_of` gives it, without the rows that a grid adds: those of `of_table`."""
        return as_read(snapshot, self.keys, None if self._filling is None else self._filling.nothing)

    @cached_property
    def of_table(self) -> Pieces:
        """The pieces without the rows that a grid adds."""
        return self.pieces.of_the_table()

    @property
    def table_rows(self) -> NDArray[np.int32]:
        """[n] rows of each piece that stand in the table."""
        return self.pieces.rows if self.pieces.stored is None else self.pieces.stored

    @property
    def filled(self) -> int:
        """Rows that the grid adds to those of the table."""
        return self.rows - int(self.table_rows.sum(dtype=np.int64))

    @cached_property
    def segments(self) -> Segments:
        """Where segments and series lie."""
        return chain(self.pieces, link(self.pieces, self.keys.max_gap))

    @cached_property
    def superblocks(self) -> Superblocks:
        """The units of reading and of coarse shuffle."""
        return Superblocks(self.superblock_first, self.segments, self.window.length, self.nulls.dropped)

    @cached_property
    def superblock_first(self) -> NDArray[np.int64]:
        """[superblocks + 1] first physical row of each; then the number of rows."""
        return cut_superblocks(self.pieces.group_rows, self.order.lanes, self.order.superblock_rows)

    @cached_property
    def _starts(self) -> StartRanges:
        """First and last row of each segment at which windows of each split start."""
        first_times = self.pieces.first_time[self.segments.chained[self.segments.first_piece[:-1]]]
        cuts, known = (
            {time: first_rows(time, cut, self.segments, first_times, ends) for time, cut in self.cuts.items()}
            for ends in (False, True)
        )
        ranges = {
            split: start_ranges(self.window, bounds, cuts, known, self.segments)
            for split, bounds in self.splits.items()
        }
        return ranges if self.held_out is None else self._without_held_out(ranges)

    @cached_property
    def held_out(self) -> dict[Split, NDArray[np.bool_]] | None:
        """[s] by split: the series that are its own at all times; None: all are split by time."""
        return held_out(self.split, self.series) if any(map(self.split.holds_out, HELD_OUT)) else None

    @property
    def trained_on(self) -> NDArray[np.bool_]:
        """[s] the series that training may see."""
        if self.held_out is None:
            return np.ones(len(self.series), np.bool_)
        stays: NDArray[np.bool_] = ~np.logical_or.reduce(list(self.held_out.values()))
        return stays

    def _without_held_out(self, ranges: StartRanges) -> StartRanges:
        """All rows of a series that is held out are its split's, and no other one's."""
        whole = start_ranges(self.window, (None, None), {}, {}, self.segments)
        stays = self.trained_on[self.segments.series]
        found: StartRanges = {}
        for split, (first, last) in ranges.items():
            first, last = np.where(stays, first, 0), np.where(stays, last, -1)
            if self.held_out is not None and split in self.held_out:
                own = self.held_out[split][self.segments.series]
                first, last = np.where(own, whole[0], first), np.where(own, whole[1], last)
            found[split] = first, last
        return found

    @cached_property
    def _survey(self) -> Survey:
        return survey(self.superblocks, self._starts, self.window.stride)

    @cached_property
    def _windows(self) -> dict[Split, SplitWindows]:
        return {}

    @property
    def block_rows(self) -> NDArray[np.int64]:
        """[superblocks] rows of each block, halo included."""
        return self._survey.block_rows

    def split_windows(self, split: Split) -> SplitWindows:
        """The windows of one split, numbered in plan order. All splits are laid out by the first call."""
        if split not in self._windows:
            starts = self.start_ranges(split)
            self._windows[split] = windows_of(
                self.superblocks, self._survey.counts[split], starts, self.window.stride
            )
        return self._windows[split]

    def windows(self, split: Split) -> int:
        """How many windows a split has: counted by segments, so that nothing need be laid out."""
        first, last = self.start_ranges(split)
        return int(np.maximum((last - first) // self.window.stride + 1, 0).sum()) - self.dropped(split)

    def dropped(self, split: Split) -> int:
        """How many windows of a split are left out for missing values."""
        starts = self.start_ranges(split)
        return int(count_dropped(self.nulls.dropped, self.segments.first, starts, self.window.stride).sum())

    def start_ranges(self, split: Split) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """[m] first and last row of each segment at which windows of a split start, multiples of the stride.

        Counted from the segment's own first row; none: last < first.
        """
        if split not in self.splits:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        return self._starts[split]

    def weighted(self, split: Split) -> Weighted | None:
        """What an epoch's windows of a split are drawn with; None: each comes once."""
        return self._weighted if split == "train" else None

    @cached_property
    def _weighted(self) -> Weighted | None:
        if self.weights is None:
            return None
        return Weighted.of(self.split_windows("train"), self.weights, self.windows_by_series("train"))

    def windows_by_series(self, split: Split) -> NDArray[np.int64]:
        """[s] windows of each series."""
        starts = self.start_ranges(split)
        counts = np.maximum((starts[1] - starts[0]) // self.window.stride + 1, 0)
        found = np.zeros(len(self.series), np.int64)
        np.add.at(found, self.segments.series, counts)
        dropped, first = self.nulls.dropped, self.segments.first
        if len(dropped):
            segment = np.searchsorted(first, dropped[:, 0], side="right") - 1
            lost = count_dropped(dropped, first, starts, self.window.stride)
            np.subtract.at(found, self.segments.series[segment], lost)
        return found

    @property
    def rows(self) -> int:
        """Rows of the snapshot, those included that a grid adds."""
        return int(self.segments.first[-1])

    def describe(self) -> dict[str, Any]:
        """Plain facts for people."""
        say = self.keys.say
        return {
            "plan_id": self.id,
            "table": self.table,
            "snapshot_id": self.snapshot_id,
            "rows": self.rows,
            "series": len(self.series),
            "segments": len(self.segments.series),
            "pieces": len(self.pieces),
            "superblocks": len(self.superblocks),
            "first_time": say(int(self.pieces.first_time.min())),
            "last_time": say(int(self.pieces.last_time.max())),
            "interval": self.interval if self.keys.ordinal else f"{self.interval / 1e6:g} s",
            "splits": {
                split: {
                    "windows": self.windows(split),
                    "horizons_from": None if first is None else say(first),
                    "horizons_before": None if end is None else say(end),
                }
                for split, (first, end) in self.splits.items()
            },
            "lanes": self.order.lanes,
            "pool": self.order.pool,
            "last_batch": self.order.last,
            "every_window_once": self.order.last == "short" and self.weights is None,
            **({"nulls": dict(self.nulls.policies)} if self.nulls.policies else {}),
            **({} if self.keys.grid is None else {"filled_rows": self.filled}),
        }

    def check(self, snapshot: Snapshot) -> None:
        """Make sure that a snapshot is the one that was planned.

        Raises:
            PlanMismatch: it holds other files, or its key columns mean something else.
        """
        snapshot = self.view_of(snapshot)
        files = tuple(file.identity for file in snapshot.files)
        if files != self.files:
            same = len(set(files) & set(self.files))
            raise PlanMismatch(
                f"plan {self.id[:12]} was made for snapshot {self.snapshot_id} of {self.table} with "
                f"{len(self.files)} files; snapshot {snapshot.id} of {snapshot.table} has {len(files)}, "
                f"{same} of them the same; pin the planned snapshot, or start a new run"
            )
        columns = (*self.keys.columns, *self.nulls.identities)
        identities = tuple(snapshot.column_identity(column) for column in columns)
        if identities != (*self.column_identities, *self.nulls.identities.values()):
            raise PlanMismatch(
                f"the columns {', '.join(columns)} of {snapshot.table} were replaced by others of "
                f"the same name since plan {self.id[:12]} was made; start a new run"
            )

    def freeze_layout(self) -> dict[str, Any]:
        """See `laid_out`."""
        return laid_out.freeze_layout(self.segments, self._survey)

    def thaw_layout(self, values: dict[str, Any]) -> None:
        """Take what was worked out before. Raises ValueError: it does not fit."""
        found = laid_out.thaw_layout(values, self.pieces)
        if found is None:
            return
        segments, survey = found
        if len(survey.block_rows) != len(self.superblock_first) - 1:
            raise ValueError(
                f"{len(survey.block_rows)} blocks for {len(self.superblock_first) - 1} superblocks"
            )
        vars(self).update(segments=segments, _survey=survey)  # what the properties would find

    def to_bytes(self) -> bytes:
        """Canonical JSON, compact (some 10 to 25 bytes per piece): what a run freezes in its first commit."""
        from lstm.windows.plan.frozen import freeze  # here, because that module builds plans

        return freeze(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Plan":
        """The inverse of `to_bytes`.

        Raises:
            PlanMismatch: not a plan, one of another version, or its id does not come out the same.
        """
        from lstm.windows.plan.frozen import thaw  # as above

        return thaw(data)
