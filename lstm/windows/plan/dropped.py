"""Windows that are left out: counted and cut out of runs in closed form, never one by one."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]


def count_dropped(
    dropped: Array, segments_first: Array, ranges: tuple[Array, Array], stride: int
) -> NDArray[np.int64]:
    """[d] windows of a split that start in each stretch of dropped rows.

    Args:
        dropped: [d, 2] logical rows [first, end), each stretch within one segment.
        segments_first: [m + 1] first logical row of each segment.
        ranges: first and last row of each segment at which windows start, multiples of `stride`.
        stride: rows between starts.
    """
    segment = np.searchsorted(segments_first, dropped[:, 0], side="right") - 1
    origin = segments_first[segment]
    first = np.maximum(-(-(dropped[:, 0] - origin) // stride), ranges[0][segment] // stride)
    last = np.minimum((dropped[:, 1] - 1 - origin) // stride, ranges[1][segment] // stride)
    count: Array = np.maximum(last - first + 1, 0)
    return count


def cut_runs(start: Array, counts: Array, stride: int, dropped: Array) -> tuple[Array, Array, Array]:
    """Runs of windows without those that start in dropped rows.

    Args:
        start: [q] logical row of each run's first window; a run lies within one segment.
        counts: [q] windows of each run, `stride` rows apart.
        stride: rows between starts.
        dropped: [d, 2] logical rows [first, end), ascending, disjoint.

    Returns:
        For what is left, run by run in the same order: the run it is of, its windows before the first that
        is left, and how many windows follow.
    """
    last = start + (counts - 1) * stride
    low = np.searchsorted(dropped[:, 1], start, side="right")
    high = np.searchsorted(dropped[:, 0], last, side="right")
    parts = np.maximum(high - low, 0) + 1
    owner = np.repeat(np.arange(len(start)), parts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(parts) - parts, parts)
    # Part i of a run lies between the stretches i - 1 and i that it meets.
    bounds = np.concatenate([dropped, np.zeros((1, 2), np.int64)])  # so that no place lies beyond the end
    before, after = low[owner] + number - 1, low[owner] + number
    begin = np.where(number == 0, start[owner], bounds[np.maximum(before, 0), 1])
    final = number == parts[owner] - 1
    end = np.where(final, last[owner] + 1, bounds[np.minimum(after, len(dropped)), 0])
    first = np.maximum(-(-(begin - start[owner]) // stride), 0)
    beyond = np.minimum(-(-(end - start[owner]) // stride), counts[owner])
    left = np.flatnonzero(beyond > first)
    return owner[left], first[left], (beyond - first)[left]
