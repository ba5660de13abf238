"""The processor's float environment as IEEE 754 has it, for as long as predictions are computed.

A thread may have been told to flush subnormals to zero (`torch.set_flush_denormal`, some libraries' fast
math), and its threads inherit that. What is predicted so would be another number elsewhere, and a chunk that
rests on it could not be restored there.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from storage.checkpoints.errors import InexactArithmetic

_SUBNORMALS = np.array([1], np.uint32).view(np.float32)
_DEFAULT = ctypes.c_void_p(-1)  # FE_DFL_ENV of glibc, musl and macOS on x86-64 and arm64
_ENVIRONMENT_BYTES = 256  # of a fenv_t; glibc's has 32


@contextmanager
def ieee_754() -> Iterator[None]:
    """Compute with subnormals in this thread. Raises InexactArithmetic: that cannot be had here."""
    if _keeps_subnormals():
        yield
        return
    library = ctypes.CDLL(None)
    before = ctypes.create_string_buffer(_ENVIRONMENT_BYTES)
    try:
        library.fegetenv(before)
        library.fesetenv(_DEFAULT)
    except AttributeError as error:
        raise InexactArithmetic(_REMEDY) from error
    try:
        if not _keeps_subnormals():
            raise InexactArithmetic(_REMEDY)
        yield
    finally:
        library.fesetenv(before)


def _keeps_subnormals() -> bool:
    return bool((_SUBNORMALS * np.float32(1))[0] != 0)


_REMEDY = (
    "this thread flushes subnormal numbers to zero, and checkpoints are predicted with them; call"
    " torch.set_flush_denormal(False) before saving or restoring, or save with"
    " DeltaPolicy(read_limit=0), which predicts nothing"
)
