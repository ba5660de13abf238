"""The bits of numbers, and the exponents among them."""

import numpy as np
from numpy.typing import NDArray

from storage.checkpoints.codecs.alone import number_width
from storage.checkpoints.codecs.compiled import LOOPS
from storage.checkpoints.codecs.loops import Words, words_of
from storage.checkpoints.tensor import Buffer

EXPONENT_BITS = {
    "bfloat16": 8,
    "complex128": 11,
    "complex64": 8,
    "float16": 5,
    "float32": 8,
    "float64": 11,
    "float8_e4m3fn": 4,
    "float8_e5m2": 5,
}
"""Of the dtypes whose numbers are floats: a sign, an exponent, a mantissa."""


def words(raw: Buffer, dtype: str) -> Words:
    """The numbers' bits."""
    return words_of(raw, number_width(dtype))


def exponents(bits: Words, dtype: str) -> NDArray[np.uint8]:
    """The exponent of floats, or its high 8 bits where it has more; 0 for integers."""
    have = EXPONENT_BITS.get(dtype, 0)
    if not have:
        return np.zeros(len(bits), np.uint8)
    shift = 8 * bits.itemsize - 1 - have + max(0, have - 8)
    return LOOPS.exponents(bits, shift, min(have, 8))
