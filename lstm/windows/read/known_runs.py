"""The runs of superblocks' windows, as pools ask for them.

They are the same in every epoch, and to work them out takes longer than to list the windows of a small pool,
so where there are few they are worked out once, for all superblocks together.
"""

import numpy as np
from numpy.typing import NDArray

from lstm.windows.plan.superblocks import Runs, SplitWindows
from lstm.windows.read.moves import FEW


class KnownRuns:
    """The runs of a split's superblocks, however often an epoch repeats their windows; for any thread."""

    def __init__(self, windows: SplitWindows) -> None:
        """Of `windows`, or of others of the same split."""
        self._windows = windows
        self._all: tuple[Runs, NDArray[np.int64]] | None = None
        if len(windows.layout.segments.pieces) + len(windows.layout.dropped) <= FEW:  # runs, at most
            superblocks = np.arange(len(windows.layout))
            runs = windows.runs(windows.layout.parts(superblocks))
            self._all = runs, np.searchsorted(runs.owner, np.append(superblocks, len(superblocks)))

    def of(self, superblocks: NDArray[np.int64]) -> Runs:
        """The runs of some superblocks, one superblock after the other."""
        if self._all is None:
            return self._windows.runs(self._windows.layout.parts(superblocks))
        runs, edges = self._all
        return runs.some(superblocks, edges)
