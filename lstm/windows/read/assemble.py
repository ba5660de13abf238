"""Put a rank's part of a batch together: windows in the order of positions, copied in one call."""

from collections import deque
from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.gather import gather
from lstm.windows.arrays.times import Times, array_of
from lstm.windows.batch import Batch
from lstm.windows.order.schedule import Part, Schedule
from lstm.windows.plan.plan import Plan
from lstm.windows.plan.superblocks import SplitWindows
from lstm.windows.read.pools import Found, Pools
from lstm.windows.read.read import WindowReader
from lstm.windows.read.shelf import Shelf

_LOOKED_UP_AT_ONCE = 32
"""Batches."""


def from_shelf(schedule: Schedule, epoch: int, index: int, pools: Pools, shelf: Shelf) -> Iterator[Batch]:
    """Batches of an epoch from `index` on, out of the blocks that the lanes' pools hold.

    As long as all lanes stay in their pools, many batches are looked up at once, and each takes little more
    than its copy. Lanes are moved on for one batch at a time.
    """
    parts: deque[Part] = deque()
    batches = schedule.batches(epoch)

    def look_up() -> tuple[Found, list[int]] | None:
        """The windows of batches that come next, and where the batches end for which no lane moves."""
        nonlocal index
        if not parts:
            if index >= batches:
                return None
            parts.extend(schedule.parts(epoch, index))
            index += len(parts)
        few = list(islice(parts, _LOOKED_UP_AT_ONCE))
        found = pools.find(
            few[0].order,
            np.concatenate([part.lanes for part in few]),
            np.concatenate([part.indices for part in few]),
        )
        ends = np.cumsum([len(part.positions) for part in few])
        away = len(found.here) if found.here.all() else int(np.argmin(found.here))
        return found, ends[: np.searchsorted(ends, away, side="right")].tolist()

    ahead = look_up()
    while ahead:
        found, ends = ahead
        if not ends:
            batch = _in_rounds(parts.popleft(), pools, shelf)
            shelf.at_hand = False
            yield batch
            pools.catch_up()
            ahead = look_up()
        for number, (a, b) in enumerate(pairwise([0, *ends]), 1):
            part, values, times = parts.popleft(), *shelf.gather(found.rows[a:b])
            copies = number < len(ends)
            if not copies:
                ahead = look_up()
                copies = ahead is not None and bool(ahead[1])
            shelf.at_hand = copies and not shelf.loading
            yield _batch(part, values, times, found.series[a:b], found.starts[a:b])


def _in_rounds(part: Part, pools: Pools, shelf: Shelf) -> Batch:
    """A batch for which lanes move on: from pool to pool, so that no more blocks are held than promised."""
    pools.move(part.order, part.lanes, part.indices)
    found = pools.find(part.order, part.lanes, part.indices)
    if found.here.all():
        return _batch(part, *shelf.gather(found.rows), found.series, found.starts)
    count, length = len(part.positions), shelf.length
    values = np.empty((count, length, shelf.values.shape[1]), np.float32)
    times = np.empty((count, length), np.int64)
    series, starts = np.empty(count, np.int64), np.empty(count, np.int64)
    left = np.arange(count)
    while True:
        here = found.here
        taken = left[here]
        values[taken], gathered = shelf.gather(found.rows[here])
        times[taken] = array_of(gathered)
        series[taken], starts[taken] = found.series[here], found.starts[here]
        left = left[~here]
        if not len(left):
            return _batch(part, values, times, series, starts)
        pools.move(part.order, part.lanes[left], part.indices[left])
        found = pools.find(part.order, part.lanes[left], part.indices[left])


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
