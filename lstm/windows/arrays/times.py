"""Times of windows that are counted on evenly: worked out when somebody asks for them, and not before.

A window's times are as many bytes as two or more of its numbers, and most batches are never asked for them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Counted:
    """Times [b, T] whose rows go on by one step each."""

    def __init__(self, first: NDArray[np.int64], step: NDArray[np.int64], length: int) -> None:
        """First times [b] of windows of `length` rows, and their steps: [b], or [1] that all have."""
        self._first, self._step, self._length = first, step, length

    def part(self, begin: int, end: int) -> "Counted":
        """Times of some of the windows."""
        step = self._step if len(self._step) == 1 else self._step[begin:end]
        return Counted(self._first[begin:end], step, self._length)

    def array(self) -> NDArray[np.int64]:
        """[b, T], fresh."""
        return self._first[:, None] + self._step[:, None] * np.arange(self._length)


Times = NDArray[np.int64] | Counted


def array_of(times: Times) -> NDArray[np.int64]:
    """The times themselves."""
    return times.array() if isinstance(times, Counted) else times


class TimesField:
    """A dataclass's field that takes times of either kind and gives an array, always the same one."""

    def __get__(self, owner: Any, kind: type | None = None) -> NDArray[np.int64]:
        if owner is None:
            raise AttributeError("times")  # so that dataclasses see no default
        times = owner.__dict__["times"] = array_of(owner.__dict__["times"])
        return times

    def __set__(self, owner: Any, times: Times) -> None:
        owner.__dict__["times"] = times
