"""Numbers as integers: in the order of their values, apart into exponent and the rest, and wider or narrower.

Everything here is exact integer arithmetic, so it gives the same bits on every machine.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from storage.checkpoints.codecs.alone import number_width
from storage.checkpoints.tensor import Buffer

Words: TypeAlias = NDArray[Any]
"""Unsigned integers of the numbers' width, little-endian."""

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
    return np.frombuffer(raw, np.dtype(f"<u{number_width(dtype)}"))


def ordered(bits: Words, dtype: str) -> Words:
    """Floats as integers that grow with their values (-0.0 just below 0.0); integers as they are."""
    if dtype not in EXPONENT_BITS:
        return bits
    top = bits.dtype.type(1 << (8 * bits.itemsize - 1))
    negative = (bits >> (8 * bits.itemsize - 1)).astype(bits.dtype)
    mapped: Words = bits ^ ((bits.dtype.type(0) - negative) | top)
    return mapped


def unordered(values: Words, dtype: str) -> Words:
    """Inverse of `ordered`."""
    if dtype not in EXPONENT_BITS:
        return values
    top = values.dtype.type(1 << (8 * values.itemsize - 1))
    positive = (values >> (8 * values.itemsize - 1)).astype(values.dtype)
    mapped: Words = values ^ ((positive - values.dtype.type(1)) | top)
    return mapped


def folded(difference: Words) -> Words:
    """Wrapped differences 0, -1, 1, -2, … as 0, 1, 2, 3, …: small ones become small numbers."""
    sign = difference.dtype.type(0) - (difference >> (8 * difference.itemsize - 1))
    residual: Words = (difference << 1) ^ sign
    return residual


def unfolded(residual: Words) -> Words:
    """Inverse of `folded`."""
    difference: Words = (residual >> 1) ^ (residual.dtype.type(0) - (residual & 1))
    return difference


def exponents(bits: Words, dtype: str) -> NDArray[np.uint8]:
    """The exponent of floats, or its high 8 bits where it has more; 0 for integers."""
    have = EXPONENT_BITS.get(dtype, 0)
    if not have:
        return np.zeros(len(bits), np.uint8)
    shift = 8 * bits.itemsize - 1 - have + max(0, have - 8)
    return ((bits >> shift) & ((1 << min(have, 8)) - 1)).astype(np.uint8)


def lengths(values: Words) -> NDArray[np.uint8]:
    """Bits that each number takes: 0 for 0, 1 for 1, 2 for 2 and 3, …"""
    if values.itemsize == 8:
        high = lengths((values >> 32).astype(np.uint32))
        low = lengths((values & 0xFFFFFFFF).astype(np.uint32))
        return np.where(high > 0, high + 32, low).astype(np.uint8)
    # frexp of a float64 is exact for integers below 2^53
    return np.frexp(values.astype(np.float64))[1].astype(np.uint8)
