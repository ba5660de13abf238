"""Decoded row groups, kept while memory allows: superblocks that share one do not fetch it again."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows.errors import InfiniteValues, PlanMismatch
from lstm.windows.features.features import Features
from lstm.windows.index.read_group import read_group
from lstm.windows.plan.plan import Plan
from storage.tables.protocol import Snapshot


@dataclass(frozen=True, slots=True)
class Rows:
    """Decoded rows."""

    values: NDArray[np.float32]
    """[n, cells]"""
    times: NDArray[np.int64]
    """[n]"""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.values.nbytes + self.times.nbytes


def decode(
    snapshot: Snapshot,
    plan: Plan,
    group: int,
    features: Features,
    rows: tuple[int, int] | None = None,
    *,
    of_table: bool = False,
) -> Rows:
    """Read the rows of one row group, or a span of them, and check that they are the ones that were planned.

    With `of_table`, those rows are left out, and not counted, that a grid adds.

    Raises:
        PlanMismatch: other rows than the plan's index saw.
        InfiniteValues: a value is infinite, or beyond float32.
    """
    pieces, view = (
        (plan.of_table, plan.table_view_of(snapshot)) if of_table else (plan.pieces, plan.view_of(snapshot))
    )
    first, end = (0, int(pieces.group_rows[group])) if rows is None else rows
    table, times = read_group(view, plan.keys, pieces, group, features.names, rows)
    held, _ = plan.segments.group_pieces(group)
    ends = np.cumsum(pieces.rows[held], dtype=np.int64)
    starts = ends - pieces.rows[held]
    begun, ended = (starts >= first) & (starts < end), (ends > first) & (ends <= end)
    ended &= pieces.rows[held] == plan.pieces.rows[held]  # others end before the grid does
    if (
        len(times) != end - first
        or not np.array_equal(times[starts[begun] - first], pieces.first_time[held][begun])
        or not np.array_equal(times[ends[ended] - 1 - first], pieces.last_time[held][ended])
    ):
        file, number = pieces.row_group(group)
        path = snapshot.files[file].path
        raise PlanMismatch(
            f"row group {number} of {path} holds other rows than when plan {plan.id[:12]} was made; "
            "files of a table must never be changed in place: restore the file, or start a new run"
        )
    carried = {name: values[held] for name, values in plan.nulls.carried.items()}
    decoded = Rows(features.decode(table, starts, carried), times)
    _refuse_infinities(decoded, plan, features, held.start, starts - first)
    return decoded


def _refuse_infinities(
    rows: Rows, plan: Plan, features: Features, first_piece: int, starts: NDArray[np.int64]
) -> None:
    """Raise InfiniteValues where a value is infinite: one of them turns all weights into NaN.

    Whoever reads the rows is told, training as well as scoring: to take them for missing would hide them.
    `starts` are the rows at which the pieces from `first_piece` on begin.
    """
    infinite = np.isinf(rows.values[:, : len(features.cells)])
    if not infinite.any():
        return
    row, column = np.argwhere(infinite)[0].tolist()
    count = int(infinite[:, column].sum())
    entity = plan.series[plan.pieces.series[first_piece + np.searchsorted(starts, row, side="right") - 1]]
    of = "" if plan.keys.entity is None else f" of series {str(entity)!r}"
    raise InfiniteValues(
        f"column {features.cells[column]!r} holds {count} infinite values (or beyond float32, "
        f"3.4e38) in one row group, the first at {plan.keys.say(int(rows.times[row]))}{of}; "
        "make them null in the table, or leave the column out"
    )


class RowGroups:
    """A bounded cache of row groups for many threads; each is decoded by one of those that ask for it."""

    def __init__(self, load: Callable[[int], Rows], room: Callable[[], int]) -> None:
        """Keep what `load` gives while it fits into the bytes that `room` grants."""
        self._load, self._room = load, room
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, Future[Rows]] = OrderedDict()
        self._held = 0
        self.loads = 0
        """Row groups decoded so far, each repetition counted."""

    def get(self, group: int) -> tuple[Rows, bool]:
        """The rows of a row group, and whether they were fetched for this very call."""
        with self._lock:
            entry = self._entries.get(group)
            if mine := entry is None:
                entry = self._entries[group] = Future()
            else:
                self._entries.move_to_end(group)
        assert entry is not None
        if mine:
            self._fill(group, entry)
        return entry.result(), mine

    def hold(self, groups: Iterable[int]) -> bool:
        """Whether these row groups are all in memory."""
        with self._lock:
            entries = [self._entries.get(group) for group in groups]
        return all(entry is not None and entry.done() for entry in entries)

    def forget(self, group: int) -> None:
        """Drop a row group that nobody needs any more."""
        with self._lock:
            entry = self._entries.get(group)
            if entry is not None and entry.done():
                del self._entries[group]
                self._held -= entry.result().size

    def _fill(self, group: int, entry: "Future[Rows]") -> None:
        try:
            rows = self._load(group)
        except BaseException as error:
            with self._lock:
                del self._entries[group]
            entry.set_exception(error)
            raise
        with self._lock:
            entry.set_result(rows)
            self.loads += 1
            self._held += rows.size
            room = self._room()
            for other, future in list(self._entries.items()):
                if self._held <= room:
                    break
                if future.done():  # others are being decoded and count when they are
                    del self._entries[other]
                    self._held -= future.result().size
