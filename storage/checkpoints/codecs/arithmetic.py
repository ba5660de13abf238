"""Floating-point arithmetic that gives the same bits on every machine.

Each operation is one of IEEE 754's + − × ÷ √, rounded on its own to nearest even, with subnormals: NumPy's
loops compute one operation at a time, so no compiler can fuse two. What the standard leaves open, the payload
of a NaN that comes out, is settled by replacing every NaN by zero bits. bfloat16 and float16 are computed in
float32 and rounded once.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from storage.checkpoints.codecs.compiled import LOOPS
from storage.checkpoints.codecs.float_environment import ieee_754
from storage.checkpoints.codecs.loops import Words

Floats: TypeAlias = NDArray[Any]

DTYPES = frozenset({"bfloat16", "float16", "float32", "float64"})
"""Dtypes that predictions are computed for."""


def predicted(
    dtype: str, bases: tuple[Words, ...], scalars: tuple[float, ...], formula: Callable[..., Floats]
) -> Words:
    """The bits of `formula(*bases, *scalars)`, computed in float64 for float64, else in float32.

    Raises InexactArithmetic.
    """
    kind = np.float64 if dtype == "float64" else np.float32
    with ieee_754(), np.errstate(all="ignore"):
        outcome = formula(*(_widened(bits, dtype) for bits in bases), *map(kind, scalars))
        outcome = np.where(np.isnan(outcome), kind(0), outcome)
        return _narrowed(outcome, dtype)


def _widened(bits: Words, dtype: str) -> Floats:
    if dtype == "bfloat16":
        return LOOPS.widened(bits).view(np.float32)
    if dtype == "float16":
        return bits.view(np.float16).astype(np.float32)
    return bits.view(np.dtype(dtype))


def _narrowed(values: Floats, dtype: str) -> Words:
    if dtype == "bfloat16":
        return LOOPS.narrowed(values.view(np.uint32))
    if dtype == "float16":
        return values.astype(np.float16).view(np.uint16)
    return values.view(np.dtype(f"u{values.itemsize}"))
