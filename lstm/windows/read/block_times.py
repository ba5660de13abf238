"""Times of windows out of blocks: counted on from their first where rows are evenly apart, else copied.

On a regular grid, which most tables of sensors are, a batch then copies little but its numbers.
"""

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.gather import Windows
from lstm.windows.arrays.times import Counted, Times

UNEVEN = 0
"""The step of rows that have no common one: rows of a series never have the same time."""


def common_step(times: NDArray[np.int64], begins: NDArray[np.int64]) -> int:
    """How far each row of a block is from the next one of its part; UNEVEN: that differs.

    Args:
        times: [n] of the block's rows.
        begins: [p] rows at which parts begin, ascending, the first one 0; each is of two rows or more, and
            steps between parts do not count.
    """
    steps = np.diff(times)
    if not len(steps):
        return UNEVEN
    alike = steps == steps[0]
    alike[begins[1:] - 1] = True
    return int(steps[0]) if alike.all() else UNEVEN


class BlockTimes:
    """Gives the times of windows of blocks that lie in slots of one array.

    Several threads may ask at once while nothing is `filled`.
    """

    def __init__(self, times: NDArray[np.int64], slot_rows: int, length: int) -> None:
        """View `times` [slots · slot_rows]; windows are of `length` rows."""
        self._times, self._slot_rows, self._length = times, max(1, slot_rows), length
        self._windows = Windows(times, length)
        self._steps = np.full(-(-len(times) // self._slot_rows), UNEVEN, np.int64)
        self._common: NDArray[np.int64] | None = None

    def filled(self, slot: int, step: int) -> None:
        """A slot holds a block of this step now, as `common_step` says."""
        self._steps[slot] = step
        if self._common is None:
            self._common = np.array([step])
        elif step != self._common[0]:
            self._common = np.array([UNEVEN])

    def counted(self, rows: NDArray[np.int64]) -> Counted | None:
        """Times of the windows that begin at `rows` [b], all of which lie in filled slots.

        None where they must be copied.
        """
        if self._common is not None and self._common[0] != UNEVEN:  # of all blocks so far
            return Counted(self._times[rows], self._common, self._length)
        steps = self._steps[rows // self._slot_rows]
        return Counted(self._times[rows], steps, self._length) if np.all(steps != UNEVEN) else None

    def gather(self, rows: NDArray[np.int64]) -> Times:
        """The same [b, length], whatever they are."""
        counted = self.counted(rows)
        return self._windows.gather(rows) if counted is None else counted
