"""When a row group is needed next: the order of an epoch is known, so a cache on disk can evict by it.

Moments are counted in epochs: 3.25 is a quarter into epoch 3. A row group counts as needed when the pools of
the superblocks whose rows it holds are entered; that a halo needs it too is left out.
"""

from collections.abc import Callable

import numpy as np

from lstm.windows.plan.plan import Plan
from lstm.windows.plan.superblocks import SplitWindows

Moments = Callable[[int, int], tuple[float, float]]
"""Of a superblock that is loaded and one of its row groups: the present moment, and when that group is next
needed."""


class Foresight:
    """Knows the order of this epoch and of the next one. For the thread that lays orders out."""

    def __init__(self, plan: Plan, windows: SplitWindows, entries: Callable[[int], np.ndarray]) -> None:
        """`windows` of the split; `entries` says how far an epoch is when each superblock is needed."""
        self._plan, self._windows, self._entries = plan, windows, entries
        self._epoch, self._moments = -1, self._of(np.empty(0), np.empty(0), -1)

    def at(self, epoch: int) -> Moments:
        """What is known while an epoch is read; good for any thread."""
        if epoch != self._epoch:
            entries = self._entries(epoch), self._entries(epoch + 1)
            self._epoch, self._moments = epoch, self._of(*entries, epoch)
        return self._moments

    def _of(self, this: np.ndarray, following: np.ndarray, epoch: int) -> Moments:
        first, groups, held = self._plan.superblocks.first, self._plan.segments.group_first, self._windows

        def moments(superblock: int, group: int) -> tuple[float, float]:
            now = float(this[np.searchsorted(held.superblocks, superblock)])
            own = np.searchsorted(first, [groups[group], groups[group + 1] - 1], side="right") - 1
            begin, end = np.searchsorted(held.superblocks, own + np.array([0, 1]))
            if begin == end:  # it holds halos only
                return epoch + now, epoch + 1 + now
            to_come = this[begin:end][this[begin:end] > now]
            needed = to_come.min() if len(to_come) else 1 + following[begin:end].min()
            return epoch + now, epoch + float(needed)

        return moments
