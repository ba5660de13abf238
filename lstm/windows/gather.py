"""Copy windows out of rows in one call, through a strided view."""

from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


def gather(rows: NDArray[Number], starts: NDArray[np.int64], length: int) -> NDArray[Number]:
    """Copy windows of `length` rows.

    Args:
        rows: [R, ...], contiguous.
        starts: [b] first row of each window.
        length: rows per window.

    Returns:
        [b, length, ...], contiguous.

    Raises:
        IndexError: a window does not lie within the rows.

    Source: numpy.lib.stride_tricks. Indexing the view by an array copies window by window at about memory
    speed; `np.take(view, ..., out=)` would copy the whole view first.
    """
    if len(starts) and not (starts.min() >= 0 and starts.max() + length <= len(rows)):
        raise IndexError(
            f"windows of {length} rows start at rows {starts.min()} to {starts.max()} of {len(rows)}"
        )
    if not len(starts):
        return np.empty((0, length, *rows.shape[1:]), rows.dtype)
    view = as_strided(
        rows,
        (len(rows) - length + 1, length, *rows.shape[1:]),
        (rows.strides[0], *rows.strides),
        writeable=False,
    )
    return view[starts]
