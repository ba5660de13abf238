"""Copy windows out of rows in one call: compiled where the host has that, else through a strided view."""

from typing import Generic, TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from lstm.windows.arrays.compiled import LOOPS, Loops

Number = TypeVar("Number", bound=np.generic)


class Windows(Generic[Number]):
    """Every run of `length` rows, as a view; copies of any choice of them take one call.

    Source: numpy.lib.stride_tricks. Indexing the view by an array copies window by window at about memory
    speed; `np.take(view, ..., out=)` would copy the whole view first.
    """

    def __init__(self, rows: NDArray[Number], length: int, loops: Loops | None = LOOPS) -> None:
        """View `rows` [R, ...], contiguous; `loops` None: have NumPy copy."""
        self._rows, self._length = len(rows), length
        self._count = max(0, len(rows) - length + 1)
        shape = (self._count, length, *rows.shape[1:])
        self._view = as_strided(rows, shape, (rows.strides[0], *rows.strides), writeable=False)
        self._compiled = loops.gather_of(rows, length) if loops is not None else None

    def gather(self, starts: NDArray[np.int64]) -> NDArray[Number]:
        """Copy the windows that begin at rows `starts` [b]; [b, length, ...], contiguous.

        Raises:
            IndexError: a window does not lie within the rows.
        """
        found = self._plain(starts) if self._compiled is None else self._compiled(starts)
        if found is None:
            raise IndexError(
                f"windows of {self._length} rows start at rows {starts.min()} to {starts.max()} "
                f"of {self._rows}"
            )
        return found

    def _plain(self, starts: NDArray[np.int64]) -> NDArray[Number] | None:
        # Seen as unsigned, a negative start is a huge one: one pass finds both.
        if len(starts) and starts.view(np.uint64).max() >= self._count:
            return None
        return self._view[starts]


def gather(rows: NDArray[Number], starts: NDArray[np.int64], length: int) -> NDArray[Number]:
    """Copy windows of `length` rows out of `rows` [R, ...], once; see `Windows`."""
    return Windows(rows, length).gather(starts)
