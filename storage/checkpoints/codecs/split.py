"""Floats alone: exponents are compressed, signs and mantissas are noise and stay as they are.

With the second moment as context (`split-by`), a first moment's exponents are easier to guess: its elements
are about as large as the root of theirs.
"""

import numpy as np
from numpy.typing import NDArray

from storage.checkpoints.codecs.alone import number_width
from storage.checkpoints.codecs.bits import exponents, words
from storage.checkpoints.codecs.classes import pack_grouped, unpack_grouped
from storage.checkpoints.codecs.codec import Scalars
from storage.checkpoints.codecs.compiled import LOOPS
from storage.checkpoints.codecs.loops import Words, raw_of
from storage.checkpoints.errors import Damaged
from storage.checkpoints.tensor import Buffer


class Split:
    """The 8 bits below the sign, then the other bytes plane by plane."""

    scalars, format = 0, 2

    def __init__(self, *, by_exponent: bool) -> None:
        self.bases = 1 if by_exponent else 0

    def encode(self, raw: Buffer, dtype: str, bases: tuple[Buffer, ...], scalars: Scalars) -> bytes:
        """See `Codec`."""
        bits = words(raw, dtype)
        planes = LOOPS.planes(_turned(bits, 1)).reshape(bits.itemsize, len(bits))
        return pack_grouped(planes[-1], self._contexts(bits, dtype, bases)) + planes[:-1].tobytes()

    def decode(
        self, stored: Buffer, dtype: str, size: int, bases: tuple[Buffer, ...], scalars: Scalars
    ) -> bytes:
        """See `Codec`."""
        width = number_width(dtype)
        count, view = size // width, memoryview(stored)
        blank = np.zeros(count, np.dtype(f"=u{width}"))
        symbols, at = unpack_grouped(view, self._contexts(blank, dtype, bases))
        if len(view) - at != count * (width - 1):
            raise Damaged(f"{len(view) - at} bytes do not hold {width - 1} planes of {count} numbers")
        planes = np.concatenate([np.frombuffer(view[at:], np.uint8), symbols])
        return raw_of(_turned(LOOPS.from_planes(planes, width), 8 * width - 1))

    def _contexts(self, bits: Words, dtype: str, bases: tuple[Buffer, ...]) -> NDArray[np.uint8]:
        if not self.bases:
            return np.zeros(len(bits), np.uint8)
        return exponents(words(bases[0], dtype), dtype)


def _turned(bits: Words, by: int) -> Words:
    """Rotated left."""
    return (bits << by) | (bits >> (8 * bits.itemsize - by))
