"""How well an epoch's order mixes the series of a table."""

import statistics

import numpy as np
from numpy.typing import NDArray

from benchmarks.window_figures.table import plan_of
from benchmarks.window_peers.rows import BATCH
from lstm.windows.order.schedule import Schedule
from storage.tables import Snapshot


def mixing(snapshot: Snapshot, stride: int, most: int) -> float:
    """Distinct series per batch ÷ those of as many windows drawn uniformly without replacement."""
    plan = plan_of(snapshot, stride)
    windows, segments = plan.split_windows("train"), plan.segments
    schedule = Schedule(plan, "train", seed=0, batch_size=BATCH, rank=0, ranks=1, shuffled=True)
    order, total = schedule.order(0), windows.total
    numbers = np.empty(total, np.int64)
    merged = order.merge(0, total)
    for lane in range(plan.order.lanes):
        inside = [order.pool_windows(lane, pool) for pool in range(order.pools(lane))]
        if inside:
            numbers[merged.lanes == lane] = np.concatenate(inside)
    logical = windows.locate(numbers)[2]
    series = np.searchsorted(segments.series_first, logical, side="right") - 1
    batches = np.linspace(0, total // BATCH - 1, min(most, total // BATCH)).astype(int)

    def distinct(of: NDArray[np.int64]) -> float:
        return statistics.mean(len(np.unique(of[k * BATCH : (k + 1) * BATCH])) for k in batches)

    return distinct(series) / distinct(np.random.default_rng(0).permutation(series))
