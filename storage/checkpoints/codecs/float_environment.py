"""The processor's float environment as IEEE 754 has it, for as long as predictions are computed.

A thread may have been told to flush subnormals to zero (`torch.set_flush_denormal`, some libraries' fast
math) or to round otherwise than to the nearest number (`fesetround`), and its threads inherit that. What is
predicted so would be another number elsewhere, and a chunk that rests on it could not be restored there.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from storage.checkpoints.errors import InexactArithmetic

_SUBNORMALS = np.array([1], np.uint32).view(np.float32)
_ONES = np.array([1, 1, -1], np.float32)
_PARTS = np.array([2**-25, 3 * 2**-25, -(2**-25)], np.float32)
_NEAREST = np.array([1, 1 + 2**-23, -1], np.float32)
"""Their sums: rounded up, down or to zero, one of them is another number."""
_ENVIRONMENT_BYTES = 256  # of a fenv_t; glibc's has 32


@contextmanager
def ieee_754() -> Iterator[None]:
    """Compute as IEEE 754 says in this thread. Raises InexactArithmetic: that cannot be had here."""
    if _is_ieee_754():
        yield
        return
    before = ctypes.create_string_buffer(_ENVIRONMENT_BYTES)
    try:
        library = ctypes.CDLL(None)
        default = _default(library)
        library.fegetenv(before)
        library.fesetenv(default)
    except (AttributeError, TypeError, ValueError, OSError) as error:  # a system without these functions
        raise InexactArithmetic(_REMEDY) from error
    try:
        if not _is_ieee_754():
            raise InexactArithmetic(_REMEDY)
        yield
    finally:
        library.fesetenv(before)


def _default(library: ctypes.CDLL) -> Any:
    """FE_DFL_ENV: a variable of macOS's library; -1 with glibc and musl, on x86-64 and arm64."""
    if sys.platform == "darwin":
        return ctypes.byref(ctypes.c_char.in_dll(library, "_FE_DFL_ENV"))
    return ctypes.c_void_p(-1)


def _is_ieee_754() -> bool:
    """Whether this thread keeps subnormals, and rounds to the nearest number."""
    return bool((_SUBNORMALS * np.float32(1))[0] != 0 and np.array_equal(_ONES + _PARTS, _NEAREST))


_REMEDY = (
    "this thread flushes subnormal numbers to zero, or does not round to the nearest number, and checkpoints"
    " are predicted with both; call torch.set_flush_denormal(False) and fesetround(FE_TONEAREST) before"
    " saving or restoring, or save with DeltaPolicy(read_limit=0), which predicts nothing"
)
