"""Put a rank's part of a batch together: windows in the order of positions, copied in one call."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.gather import gather
from lstm.windows.arrays.times import Counted, Times, array_of
from lstm.windows.batch import Batch
from lstm.windows.order.schedule import Part, Parts, Schedule
from lstm.windows.plan.plan import Plan
from lstm.windows.plan.superblocks import SplitWindows
from lstm.windows.read.pools import Found, Pools
from lstm.windows.read.read import WindowReader
from lstm.windows.read.shelf import Shelf

_LOOKED_UP_AT_ONCE = 32
"""Batches."""


@dataclass(frozen=True, slots=True)
class _LookedUp:
    """The windows of batches that follow, up to the first one for which lanes move on."""

    parts: Parts
    first: int
    """Number of the first batch among the parts."""
    count: int
    """How many batches; 0: lanes move on for the first one."""
    begin: int
    """Where these windows begin among those of the parts."""
    found: Found
    times: Counted | None
    """Of all these windows; None: to be gathered with each batch."""

    def batch(self, number: int, shelf: Shelf) -> Batch:
        """One of the batches, copied from the shelf."""
        parts, place = self.parts, self.first + number
        a, b = parts.ends[place] - self.begin, parts.ends[place + 1] - self.begin
        rows = self.found.rows[a:b]
        values, times = shelf.gather(rows, None if self.times is None else self.times.part(a, b))
        return Batch.plain(
            epoch=parts.order.epoch,
            index=parts.first + place,
            size=parts.size,
            positions=parts.merged.positions[a + self.begin : b + self.begin],
            values=values,
            times=times,
            series=self.found.series[a:b],
            starts=self.found.starts[a:b],
        )


def from_shelf(
    schedule: Schedule, epoch: int, index: int, pools: Pools, shelf: Shelf
) -> Iterator[Callable[[], Batch]]:
    """Calls that give the batches of an epoch from `index` on, out of the blocks that the lanes' pools hold.

    As long as all lanes stay in their pools, many batches are looked up at once, and each takes little more
    than its copy, which is left to the call. Lanes are moved on for one batch at a time; all calls before it
    have to be made by then, as blocks give up their places.
    """
    parts, done, batches = None, 0, schedule.batches(epoch)

    def look_up() -> _LookedUp | None:
        """What comes after `done` batches of the parts."""
        nonlocal parts, done
        if parts is None or done == len(parts):
            following = index if parts is None else parts.first + done
            if following >= batches:
                return None
            parts, done = schedule.parts(epoch, following), 0
        return _looked_up(parts, done, pools, shelf)

    ahead = look_up()
    while ahead:
        now = ahead
        if not now.count:
            batch = _in_rounds(now.parts.part(now.first), pools, shelf)
            shelf.at_hand = False
            yield partial(_itself, batch)
            done += 1
            pools.catch_up()
            ahead = look_up()
        for number in range(now.count):
            copies = number + 1 < now.count
            if not copies:
                done += now.count
                ahead = look_up()
                copies = ahead is not None and ahead.count > 0
            shelf.at_hand = copies and not shelf.loading
            yield partial(now.batch, number, shelf)


def _itself(batch: Batch) -> Batch:
    return batch


def _looked_up(parts: Parts, first: int, pools: Pools, shelf: Shelf) -> _LookedUp:
    """Look up the windows of batches from number `first` of the parts on."""
    shelf.look()
    ends = parts.ends[first : first + _LOOKED_UP_AT_ONCE + 1]
    begin = ends[0]
    lanes, indices = parts.merged.lanes[begin : ends[-1]], parts.merged.indices[begin : ends[-1]]
    found = pools.lead(parts.order, lanes, indices)
    count = bisect_right(ends, begin + len(found.rows)) - 1
    found = found.first(ends[count] - begin)
    return _LookedUp(parts, first, count, begin, found, shelf.times_of(found.rows))


def _in_rounds(part: Part, pools: Pools, shelf: Shelf) -> Batch:
    """A batch for which lanes move on: from pool to pool, so that no more blocks are held than promised."""
    pools.move(part.order, part.lanes, part.indices)
    here = pools.here(part.order, part.lanes, part.indices)
    if here.all():
        found = pools.find(part.lanes, part.indices)
        return _batch(part, *shelf.gather(found.rows), found.series, found.starts)
    count, length = len(part.positions), shelf.length
    values = np.empty((count, length, shelf.values.shape[1]), np.float32)
    times = np.empty((count, length), np.int64)
    series, starts = np.empty(count, np.int64), np.empty(count, np.int64)
    left = np.arange(count)
    while True:
        taken = left[here]
        found = pools.find(part.lanes[taken], part.indices[taken])
        values[taken], gathered = shelf.gather(found.rows)
        times[taken] = array_of(gathered)
        series[taken], starts[taken] = found.series, found.starts
        left = left[~here]
        if not len(left):
            return _batch(part, values, times, series, starts)
        pools.move(part.order, part.lanes[left], part.indices[left])
        here = pools.here(part.order, part.lanes[left], part.indices[left])


def from_table(part: Part, plan: Plan, windows: SplitWindows, reader: WindowReader) -> Batch:
    """Read a batch by itself, one block at a time: for replays."""
    numbers = np.empty(len(part.positions), np.int64)
    for lane, places in _by_lane(part.lanes).items():
        pools = np.array([part.order.pool_at(lane, int(index)) for index in part.indices[places]])
        for pool in np.unique(pools):
            within = places[pools == pool]
            first, _ = part.order.pool_span(lane, int(pool))
            numbers[within] = part.order.pool_windows(lane, int(pool))[part.indices[within] - first]
    superblock, offset, logical = windows.locate(numbers)
    length, features = plan.window.length, reader.width
    values = np.empty((len(numbers), length, features), np.float32)
    times = np.empty((len(numbers), length), np.int64)
    for wanted in np.unique(superblock):
        block, block_times = reader.block(int(wanted))
        places = np.flatnonzero(superblock == wanted)
        values[places] = gather(block, offset[places], length)
        times[places] = gather(block_times, offset[places], length)
    return _batch(part, values, times, *plan.segments.within_series(logical))


def _by_lane(lanes: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """For every lane the places of its windows, ascending."""
    if not len(lanes):
        return {}
    order = np.argsort(lanes, kind="stable")
    names, first = np.unique(lanes[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, first[1:]), strict=True))


def _batch(
    part: Part,
    values: NDArray[np.float32],
    times: Times,
    series: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> Batch:
    return Batch.plain(
        epoch=part.epoch,
        index=part.index,
        size=part.size,
        positions=part.positions,
        values=values,
        times=times,
        series=series,
        starts=starts,
    )
