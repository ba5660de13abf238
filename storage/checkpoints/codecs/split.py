"""Floats alone: exponents are compressed, signs and mantissas are noise and stay as they are.

With the second moment as context (`split-by`), a first moment's exponents are easier to guess: its elements
are about as large as the root of theirs.
"""

import numpy as np

from storage.checkpoints.codecs.alone import number_width
from storage.checkpoints.codecs.bits import exponents, words
from storage.checkpoints.codecs.classes import pack_grouped, unpack_grouped
from storage.checkpoints.codecs.codec import Scalars
from storage.checkpoints.codecs.compiled import LOOPS
from storage.checkpoints.codecs.loops import Bytes, little
from storage.checkpoints.errors import Damaged
from storage.checkpoints.tensor import Buffer


class Split:
    """The 8 bits below the sign, then the other bytes plane by plane."""

    scalars, format = 0, 2

    def __init__(self, *, by_exponent: bool) -> None:
        self.bases = 1 if by_exponent else 0

    def encode(self, raw: Buffer, dtype: str, bases: tuple[Buffer, ...], scalars: Scalars) -> bytes:
        """See `Codec`."""
        highest, planes = LOOPS.split(words(raw, dtype))
        return b"".join((*pack_grouped(highest, self._contexts(dtype, bases)), planes.data))

    def decode(
        self, stored: Buffer, dtype: str, into: Bytes, bases: tuple[Buffer, ...], scalars: Scalars
    ) -> None:
        """See `Codec`."""
        numbers, view = little(into, number_width(dtype)), memoryview(stored)
        count, planes = len(numbers), numbers.itemsize - 1
        highest, at = unpack_grouped(view, count, self._contexts(dtype, bases))
        if len(view) - at != count * planes:
            raise Damaged(f"{len(view) - at} bytes do not hold {planes} planes of {count} numbers")
        LOOPS.from_split(highest, np.frombuffer(view[at:], np.uint8), numbers)

    def _contexts(self, dtype: str, bases: tuple[Buffer, ...]) -> Bytes | None:
        return exponents(words(bases[0], dtype), dtype) if self.bases else None
