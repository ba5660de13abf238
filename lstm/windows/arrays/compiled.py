"""The loops of loops.c, which the installation compiles where it can."""

import ctypes
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from storage.compiled_library import installed, load

VERSION = 1
"""Of loops.c, where the same number stands, so that no library of another source is loaded. A test knows the
source of this version, and asks for the next number when that changes."""
MOST_PASSED = 32
"""Lanes that a window passes when it joins those that wait, on average: beyond, NumPy's sort is faster."""
Ints = NDArray[np.int64]
Gather = Callable[[Ints], NDArray[Any] | None]
"""Copies the windows that begin at some rows; None: not all of them lie within the rows."""


class Loops:
    """Looks windows up and copies them. Other threads run meanwhile."""

    def __init__(self, path: Path) -> None:
        """Load the library. Raises OSError, AttributeError: it is not ours, or of another source."""
        library = load(path, VERSION)
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        self._gathered, self._merged, self._looked_up = library.gathered, library.merged, library.looked_up
        self._gathered.argtypes = [pointer, size, size, pointer, size, size, pointer]
        self._gathered.restype = ctypes.c_int
        self._merged.argtypes = [pointer] * 4 + [size] * 3 + [pointer] * 2
        self._merged.restype = size
        self._looked_up.argtypes = [pointer] * 2 + [size] + [pointer] * 6 + [ctypes.c_int] + [pointer] * 3
        self._looked_up.restype = size

    @classmethod
    def installed(cls) -> Self | None:
        """The library beside this module; None where there is none, or it does not fit this host."""
        return installed(Path(__file__).parent, "loops", cls)

    def gather_of(self, rows: NDArray[Any], length: int) -> Gather | None:
        """What copies windows of `length` rows out of `rows` [R, ...]; None: it cannot.

        What is the same for all calls is worked out here: after a batch has gone through the processor's
        cache each further call in Python takes a share of the batch's time.
        """
        # Not strides: what NumPy says of those of an array without numbers, or of one row, means nothing.
        row = rows.dtype.itemsize * math.prod(rows.shape[1:])
        if not rows.flags.c_contiguous or rows.dtype.hasobject:
            return None
        gathered, dtype, shape, size = self._gathered, rows.dtype, (length, *rows.shape[1:]), row * length
        address, held = rows.ctypes.data, max(0, len(rows) - length + 1)

        def gather(starts: NDArray[np.int64], _held: NDArray[Any] = rows) -> NDArray[Any] | None:
            starts = np.ascontiguousarray(starts, np.int64)
            count = len(starts)
            windows = np.empty((count, *shape), dtype)
            begins, copied = starts.ctypes.data, windows.ctypes.data
            return None if gathered(address, row, held, begins, count, size, copied) else windows

        return gather

    def merge(self, n: Ints, first: Ints, skipped: int, count: int) -> tuple[Ints, Ints]:
        """Lanes and indices [count] of windows in order of their keys (2i+1)/(2n), then by lane.

        Args:
            n: [C] windows of each lane, at most 2**25; see `MOST_PASSED`.
            first: [C] window of each lane with which to begin; n: none is left.
            skipped: windows that are left out before those asked for.
            count: of which there must be as many.
        """
        n, following = np.ascontiguousarray(n, np.int64), first.astype(np.int64, "C")
        begun = np.flatnonzero(following < n)
        key = (2 * following[begun] + 1) / (2 * n[begun])
        order = np.argsort(key, kind="stable")
        room = len(begun) + skipped + count
        keys, queue = np.empty(room), np.empty(room, np.int64)
        keys[: len(begun)], queue[: len(begun)] = key[order], begun[order]
        lanes, indices = np.empty(count, np.int64), np.empty(count, np.int64)
        arrays = [it.ctypes.data for it in (n, following, keys, queue, lanes, indices)]
        came = self._merged(*arrays[:4], len(begun), skipped, count, *arrays[4:])
        assert came == skipped + count, "fewer windows are left than were asked for"
        return lanes, indices

    def look_up(
        self, lanes: Ints, indices: Ints, spans: tuple[Ints, Ints, Ints], known: tuple[NDArray[Any], ...]
    ) -> list[Ints]:
        """What is `known` of windows, up to the first of which nothing is: [k], one array for each of three.

        Args:
            lanes: [b] lane of each window.
            indices: [b] place of each window in its lane.
            spans: by lane: the first window of which something is known, how many are, and the place in
                `known` at which window 0 would be.
            known: three arrays, of 32 or of 64 bits.
        """
        count = len(lanes)
        found = [np.empty(count, np.int64) for _ in known]
        wide = known[0].itemsize == 8
        lanes, indices = np.ascontiguousarray(lanes, np.int64), np.ascontiguousarray(indices, np.int64)
        arrays = [it.ctypes.data for it in (lanes, indices, *spans, *known, *found)]
        held = self._looked_up(*arrays[:2], count, *arrays[2:8], wide, *arrays[8:])
        return [it[:held] for it in found]


LOOPS = Loops.installed()
"""None: NumPy does it."""
