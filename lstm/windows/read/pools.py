"""The pool that each lane of a rank stands in, and the next one, which loads meanwhile."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.compiled import LOOPS
from lstm.windows.order.order import EpochOrder
from lstm.windows.order.schedule import Schedule
from lstm.windows.plan.plan import Plan
from lstm.windows.plan.superblocks import SplitWindows
from lstm.windows.read.at_once import wait_for
from lstm.windows.read.known_runs import KnownRuns
from lstm.windows.read.memory import lane_windows, most_windows, number_type
from lstm.windows.read.shelf import Shelf
from lstm.windows.spec import Split

_WORKED_OUT_AT_ONCE = 65_536
"""Windows of pools, unless one pool has more."""
_LOOKED_AT = 256
"""Windows of a lane whose blocks are loaded before others: a lane has about five in a batch of 256."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The windows of one pool, in the order in which they come."""

    order: EpochOrder
    lane: int
    number: int
    first: int
    """Index in its lane of the pool's first window."""
    end: int
    superblocks: NDArray[np.int64]
    base: NDArray[np.int64]
    """Row on the shelf at which the block of each begins."""
    place: slice
    """Where its windows stand among those of all pools."""
    ready: "Future[None]"
    """Done when they stand there."""


@dataclass(frozen=True, slots=True)
class Found:
    """Windows of a batch, [b] each."""

    rows: NDArray[np.int64]
    """First row of each on the shelf."""
    series: NDArray[np.int64]
    starts: NDArray[np.int64]
    """Rows of their series before them."""

    def first(self, count: int) -> "Found":
        """The first of them."""
        return Found(self.rows[:count], self.series[:count], self.starts[:count])


class Pools:
    """At most two pools per lane: 2·⌈C/W⌉·P superblocks on a rank, and three numbers for each window in them.

    Used by one thread at a time.

    What is to be known of a window is worked out pool by pool by a worker, so that a batch only looks it up,
    whatever the number of lanes.
    """

    def __init__(
        self,
        shelf: Shelf,
        worker: Executor,
        plan: Plan,
        split: Split,
        schedule: Schedule,
        *,
        pool: int,
        epochs: bool,
    ) -> None:
        """Prepare to walk.

        Args:
            shelf: where blocks are held.
            worker: lists the windows of pools, and permutes them.
            plan: where series lie.
            split: whose windows they are.
            schedule: gives the order of an epoch, and the windows that its numbers mean.
            pool: superblocks of a pool, at most.
            epochs: also load the first pools of the next epoch ahead.
        """
        self._shelf, self._worker, self._schedule = shelf, worker, schedule
        self._segments = plan.segments
        self._runs = KnownRuns(plan.split_windows(split))
        self._epochs = epochs
        self._current: dict[int, Pool] = {}
        self._next: dict[int, Pool] = {}
        self._later: dict[int, list[tuple[int, int]]] = {}
        """By lane: superblocks of its pool that are still to be loaded, each after its first use."""
        self._moved: list[int] = []
        """Lanes whose next pool is still to be loaded."""
        self._jobs: list[Future[None]] = []
        """Those that may still write into the places of pools."""
        lanes = plan.order.lanes
        self._width = lane_windows(most_windows(plan, split), lanes, pool)
        places = 2 * lanes * self._width  # memory is taken as pools of own lanes come
        number = number_type(max(len(shelf.times), plan.rows))
        self._rows, self._series, self._starts = (np.empty(places, number) for _ in range(3))
        self._order: EpochOrder | None = None
        self._first, self._size, self._origin = (np.zeros(lanes, np.int64) for _ in range(3))

    def lead(self, order: EpochOrder, lanes: NDArray[np.int64], indices: NDArray[np.int64]) -> Found:
        """Look up windows as `find` does, up to the first one that is not `here`."""
        if LOOPS is None:
            here = self.here(order, lanes, indices)
            count = len(here) if here.all() else int(np.argmin(here))
            return self.find(lanes[:count], indices[:count])
        self._turn_to(order)
        spans, known = (self._first, self._size, self._origin), (self._rows, self._series, self._starts)
        return Found(*LOOPS.look_up(lanes, indices, spans, known))

    def find(self, lanes: NDArray[np.int64], indices: NDArray[np.int64]) -> Found:
        """Look up windows that are `here` by their indices in their lanes."""
        places = self._origin[lanes] + indices
        return Found(
            self._rows[places].astype(np.int64),
            self._series[places].astype(np.int64),
            self._starts[places].astype(np.int64),
        )

    def move(self, order: EpochOrder, lanes: NDArray[np.int64], indices: NDArray[np.int64]) -> None:
        """Let each lane that holds none of its windows stand in the first one's pool.

        Blocks of these windows are loaded at once, what else the pools need when `catch_up` is called: a
        first batch waits for no more than it has windows of.
        """
        held = np.zeros(len(self._size), bool)
        held[lanes[self.here(order, lanes, indices)]] = True
        away = np.flatnonzero(~held[lanes])
        names, first = np.unique(lanes[away], return_index=True)
        moving = dict(zip(names.tolist(), indices[away[first]].tolist(), strict=True))
        fresh = self._stand(order, moving)
        ready = {self._current[lane].ready for lane in moving}  # several pools are worked out in one job
        wait_for(list(ready))
        for job in ready:
            job.result()
        for lane in moving:
            pool = self._current[lane]
            self._first[lane], self._size[lane] = pool.first, pool.end - pool.first
            self._origin[lane] = pool.place.start - pool.first
        if fresh:
            here = self.here(order, lanes, indices)
            rows = self._rows[self._origin[lanes[here]] + indices[here]]
            needed = set(np.unique(self._shelf.slots(rows)).tolist())
            uses = self._first_uses(fresh)
            now = [superblock for _, superblock, slot, _ in uses if slot in needed]
            self._shelf.load(np.array(now, np.int64), order.epoch)
            for lane, superblock, slot, use in uses:
                if slot not in needed:
                    self._later.setdefault(lane, []).append((use, superblock))
        self._moved.extend(moving)

    def catch_up(self) -> None:
        """Load what is not urgent: the rest of the pools that lanes have moved to, and those after them."""
        if self._later and self._order is not None:
            rest = sorted(it for later in self._later.values() for it in later)
            self._shelf.load(np.array([superblock for _, superblock in rest], np.int64), self._order.epoch)
        coming: dict[EpochOrder, dict[int, int]] = {}
        for lane in self._moved:
            if lane not in self._next and (following := self._following(lane)):
                coming.setdefault(following[0], {})[lane] = following[1]
        for order, numbers in coming.items():
            pools = self._request(order, numbers)
            self._next |= pools
            self._shelf.load(np.concatenate([pool.superblocks for pool in pools.values()]), order.epoch)
        self._later.clear()
        self._moved.clear()

    def clear(self) -> None:
        """Give all blocks back, also those of pools that an error or an interrupt kept from lanes."""
        self._order = None
        self._later.clear()
        self._moved.clear()
        for job in self._jobs:
            job.cancel()
        for pools in (self._current, self._next):
            while pools:
                self._leave(pools.popitem()[1])
        while self._jobs:
            _end(self._jobs[-1])
            self._jobs.pop()
        self._shelf.clear()

    def here(
        self, order: EpochOrder, lanes: NDArray[np.int64], indices: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """[b] which windows lie in the pools in which their lanes stand now."""
        self._turn_to(order)
        within = indices - self._first[lanes]
        here: NDArray[np.bool_] = (within >= 0) & (within < self._size[lanes])
        return here

    def _turn_to(self, order: EpochOrder) -> None:
        """In another epoch than before no lane stands anywhere."""
        if order is not self._order:
            self._order = order
            self._size[:] = 0

    def _first_uses(self, lanes: Mapping[int, int]) -> list[tuple[int, int, int, int]]:
        """The superblocks of lanes' pools, as windows need them from an index in each lane on.

        Each with its lane, its slot, and how many windows of the lane come before the first one that needs
        it; at most `_LOOKED_AT`.
        """
        found: list[tuple[int, int, int, int]] = []
        for lane, index in lanes.items():
            pool = self._current[lane]
            begin = pool.place.start + index - pool.first
            rows = self._rows[begin : min(begin + _LOOKED_AT, pool.place.stop)]
            slots, first = np.unique(self._shelf.slots(rows), return_index=True)
            first_use = dict(zip(slots.tolist(), first.tolist(), strict=True))
            own = zip(pool.superblocks.tolist(), self._shelf.slots(pool.base).tolist(), strict=True)
            found.extend((lane, *it, first_use.get(it[1], _LOOKED_AT)) for it in own)
        return sorted(found, key=itemgetter(3))

    def _stand(self, order: EpochOrder, moving: Mapping[int, int]) -> dict[int, int]:
        """Have lanes stand in the pools of their windows; those whose pools' blocks are to be loaded yet."""
        fresh: dict[int, int] = {}
        for lane, index in moving.items():
            number = order.pool_at(lane, index)
            self._later.pop(lane, None)
            if before := self._current.pop(lane, None):
                self._leave(before)
            ahead = self._next.pop(lane, None)
            if ahead and ahead.order is order and ahead.number == number:
                self._current[lane] = ahead
                continue
            if ahead:
                self._leave(ahead)
            fresh[lane] = number
        self._current |= self._request(order, fresh)
        return {lane: moving[lane] for lane in fresh}

    def _leave(self, pool: Pool) -> None:
        _end(pool.ready)
        self._shelf.release(pool.superblocks)

    def _request(self, order: EpochOrder, numbers: Mapping[int, int]) -> dict[int, Pool]:
        """Hold the blocks of each lane's pool of that number, and have their windows listed."""
        windows = self._schedule.windows_at(order.epoch)
        pools: dict[int, Pool] = {}
        self._jobs = [job for job in self._jobs if not job.done()]
        for spans in self._together(order, numbers):
            held = [windows.superblocks[order.pool_superblocks(lane, numbers[lane])] for lane in spans]
            superblocks = np.concatenate(held)
            base = self._shelf.hold(superblocks)
            places = [self._place(lane, end - first) for lane, (first, end) in spans.items()]
            comes = [(lane, numbers[lane]) for lane in spans]
            ready = self._worker.submit(self._work_out, order, windows, superblocks, comes, base, places)
            self._jobs.append(ready)
            bases = np.split(base, np.cumsum([len(it) for it in held])[:-1])
            for (lane, span), own, rows, place in zip(spans.items(), held, bases, places, strict=True):
                pools[lane] = Pool(order, lane, numbers[lane], *span, own, rows, place, ready)
        return pools

    def _together(
        self, order: EpochOrder, numbers: Mapping[int, int]
    ) -> Iterator[dict[int, tuple[int, int]]]:
        """Lanes whose pools are worked out in one go, and the spans of these in them.

        Calls for one small pool cost more than its work.
        """
        spans, windows = dict[int, tuple[int, int]](), 0
        for lane, number in numbers.items():
            first, end = order.pool_span(lane, number)
            if spans and windows + end - first > _WORKED_OUT_AT_ONCE:
                yield spans
                spans, windows = {}, 0
            spans[lane] = first, end
            windows += end - first
        if spans:
            yield spans

    def _place(self, lane: int, windows: int) -> slice:
        """Where a lane's pool may stand: not where the one does in which the lane stands now."""
        beside = self._current.get(lane)
        side = 2 * lane * self._width
        if beside and beside.place.start == side:
            side += self._width
        return slice(side, side + windows)

    def _work_out(
        self,
        order: EpochOrder,
        windows: SplitWindows,
        superblocks: NDArray[np.int64],
        pools: list[tuple[int, int]],
        base: NDArray[np.int64],
        places: list[slice],
    ) -> None:
        """Put the windows of pools in their order. What they share with their run is looked up by run."""
        runs = self._runs.of(superblocks)
        run, further = windows.each(runs)
        series, starts = self._segments.within_series(runs.start)
        ends = np.cumsum([place.stop - place.start for place in places]).tolist()
        parts = list(pairwise([0, *ends]))
        come = order.pool_orders(pools)
        run, further = run[come], further[come]
        rows, series, starts = (
            (base[runs.owner] + runs.offset)[run] + further,
            series[run],
            starts[run] + further,
        )
        for place, (begin, end) in zip(places, parts, strict=True):
            self._rows[place] = rows[begin:end]
            self._series[place] = series[begin:end]
            self._starts[place] = starts[begin:end]

    def _following(self, lane: int) -> tuple[EpochOrder, int] | None:
        """The pool after the one in which a lane stands: its number, in which order."""
        pool = self._current[lane]
        if pool.number + 1 < pool.order.pools(lane):
            return pool.order, pool.number + 1
        if self._epochs:
            order = self._schedule.order(pool.order.epoch + 1)
            if order.pools(lane):
                return order, 0
        return None


def _end(job: "Future[None]") -> None:
    """Wait for it: one under way must not write into the place of another pool."""
    if not job.cancelled():
        job.exception()
