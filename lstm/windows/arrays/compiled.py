"""The copy of windows as copies.c has it, which the installation compiles where it can."""

import ctypes
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from storage.compiled_library import installed, load

VERSION = 2
"""Of copies.c, where the same number stands, so that no library of another source is loaded. A test knows the
source of this version, and asks for the next number when that changes."""
Gather = Callable[[NDArray[np.int64]], NDArray[Any] | None]
"""Copies the windows that begin at some rows; None: not all of them lie within the rows."""


class Copies:
    """Copies windows. Other threads run meanwhile."""

    def __init__(self, path: Path) -> None:
        """Load the library. Raises OSError, AttributeError: it is not ours, or of another source."""
        library = load(path, VERSION)
        size, pointer = ctypes.c_size_t, ctypes.c_void_p
        self._gathered = library.gathered
        self._gathered.argtypes = [pointer, size, size, pointer, size, size, pointer]
        self._gathered.restype = ctypes.c_int

    @classmethod
    def installed(cls) -> Self | None:
        """The library beside this module; None where there is none, or it does not fit this host."""
        return installed(Path(__file__).parent, "copies", cls)

    def of(self, rows: NDArray[Any], length: int) -> Gather | None:
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


COPIES = Copies.installed()
"""None: windows are copied by NumPy."""
