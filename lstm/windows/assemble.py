"""Put a rank's part of a batch together: windows in the order of positions, copied in one call."""

import numpy as np
from numpy.typing import NDArray

from lstm.windows.batch import Batch
from lstm.windows.gather import gather
from lstm.windows.plan import Plan
from lstm.windows.pools import Pools
from lstm.windows.read import WindowReader
from lstm.windows.schedule import Part
from lstm.windows.shelf import Shelf
from lstm.windows.superblocks import SplitWindows


def from_shelf(part: Part, plan: Plan, windows: SplitWindows, pools: Pools, shelf: Shelf) -> Batch:
    """Take a batch from the blocks that the lanes' pools hold, moving the lanes on as needed.

    A batch usually lies in one pool per lane. Where pools are smaller, lanes go from pool to pool in rounds,
    so that no more than the promised number of blocks is ever held.
    """
    length, features = plan.window.length, shelf.values.shape[1]
    values = np.empty((0, length, features), np.float32)
    times = np.empty((0, length), np.int64)
    logical = np.empty(len(part.positions), np.int64)
    waiting = _by_lane(part.lanes)
    while waiting:
        standing = pools.enter(part.order, {lane: int(part.indices[w[0]]) for lane, w in waiting.items()})
        taken, numbers = [], []
        for lane, pool in standing.items():
            places = waiting[lane]
            index = part.indices[places] - pool.first
            beyond = np.flatnonzero((index < 0) | (index >= pool.end - pool.first))
            here = int(beyond[0]) if len(beyond) else len(places)
            taken.append(places[:here])
            numbers.append(pool.windows.result()[index[:here]])
            if here < len(places):
                waiting[lane] = places[here:]
            else:
                del waiting[lane]
        chosen = np.concatenate(taken)
        superblock, offset, first = windows.locate(np.concatenate(numbers))
        logical[chosen] = first
        rows = shelf.base(superblock) + offset
        if len(chosen) == len(logical):  # the usual case: one round, no second copy
            order = np.argsort(chosen)
            values = gather(shelf.values, rows[order], length)
            times = gather(shelf.times, rows[order], length)
        else:
            if not len(values):
                values = np.empty((len(logical), length, features), np.float32)
                times = np.empty((len(logical), length), np.int64)
            values[chosen] = gather(shelf.values, rows, length)
            times[chosen] = gather(shelf.times, rows, length)
    return _batch(part, plan, values, times, logical)


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
    length, features = plan.window.length, len(reader.columns)
    values = np.empty((len(numbers), length, features), np.float32)
    times = np.empty((len(numbers), length), np.int64)
    for wanted in np.unique(superblock):
        rows = int(plan.superblocks.block_rows[wanted])
        block, block_times = np.empty((rows, features), np.float32), np.empty(rows, np.int64)
        reader.load_block(int(wanted), block, block_times)
        places = np.flatnonzero(superblock == wanted)
        values[places] = gather(block, offset[places], length)
        times[places] = gather(block_times, offset[places], length)
    return _batch(part, plan, values, times, logical)


def _by_lane(lanes: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """For every lane the places of its windows, ascending."""
    if not len(lanes):
        return {}
    order = np.argsort(lanes, kind="stable")
    names, first = np.unique(lanes[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, first[1:]), strict=True))


def _batch(
    part: Part,
    plan: Plan,
    values: NDArray[np.float32],
    times: NDArray[np.int64],
    logical: NDArray[np.int64],
) -> Batch:
    series_first = plan.segments.series_first
    series = np.searchsorted(series_first, logical, side="right") - 1
    return Batch(
        epoch=part.epoch,
        index=part.index,
        size=part.size,
        positions=part.positions,
        values=values,
        times=times,
        series=series,
        starts=logical - series_first[series],
    )
