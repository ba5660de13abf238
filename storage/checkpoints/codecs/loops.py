"""The loops over a chunk's numbers: compiled where a C compiler was there at installation, else in NumPy.

Both give the same bits; the compiled ones take about a tenth of the time, and leave other threads running.
"""

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from storage.checkpoints.tensor import Buffer

Words: TypeAlias = NDArray[Any]
"""Unsigned integers of the numbers' width, in this machine's byte order, one behind the other."""
Bytes: TypeAlias = NDArray[np.uint8]


class Loops(Protocol):
    """What codecs do with each number. Pure, and safe to call from many threads."""

    name: str

    def residuals(self, bits: Words, prediction: Words, *, floats: bool) -> tuple[Words, Bytes]:
        """What is left of each number beside its prediction, and how many bits that takes.

        The difference in the order of values (if `floats`; else of the integers), wrapped, as 0, -1, 1, -2, …
        → 0, 1, 2, 3, …: small ones become small numbers.
        """
        ...

    def restored(self, residuals: Words, prediction: Words, into: Words, *, floats: bool) -> None:
        """Inverse of `residuals`: the numbers come to stand in `into`, little-endian."""
        ...

    def low_bits(self, residuals: Words, lengths: Bytes) -> bytes:
        """For each length from 2, rising: the bits below the highest one of all residuals that have it.

        Whole bytes plane by plane, the lowest first; then what is above them, packed, the highest bit first.
        """
        ...

    def from_low_bits(self, stored: memoryview, lengths: Bytes, width: int) -> Words:
        """Inverse of `low_bits`: residuals of `width` bytes; no length is above 8 · width. Raises Damaged."""
        ...

    def exponents(self, bits: Words, shift: int, width: int) -> Bytes:
        """`width` bits of each number (8 at most), from bit `shift` on."""
        ...

    def widened(self, halves: Words) -> Words:
        """Bits of bfloat16 as bits of float32, exactly."""
        ...

    def narrowed(self, wide: Words) -> Words:
        """Bits of float32 as bits of bfloat16, rounded to nearest even; no NaN is among them."""
        ...

    def planes(self, bits: Words) -> Bytes:
        """All first (lowest) bytes of the numbers, then all second ones, …"""
        ...

    def from_planes(self, planes: Bytes, into: Words) -> None:
        """Inverse of `planes`: the numbers come to stand in `into`, little-endian."""
        ...

    def split(self, bits: Words) -> tuple[Bytes, Bytes]:
        """Numbers turned left by a bit, the sign last: their highest bytes; `planes` of the others."""
        ...

    def from_split(self, highest: Bytes, planes: Bytes, into: Words) -> None:
        """Inverse of `split`: the numbers come to stand in `into`, little-endian."""
        ...

    def histogram(self, values: Bytes) -> Words:
        """How many bytes have each of the 256 values."""
        ...

    def by_context(self, symbols: Bytes, contexts: Bytes) -> Bytes:
        """Bytes in the order of their contexts; those of equal context stay in order."""
        ...

    def from_context(self, symbols: Bytes, contexts: Bytes) -> Bytes:
        """Inverse of `by_context`."""
        ...


def words_of(raw: Buffer, width: int) -> Words:
    """The numbers of little-endian bytes."""
    return np.frombuffer(raw, np.dtype(f"<u{width}")).astype(np.dtype(f"=u{width}"), copy=False)


def raw_of(words: Words) -> bytes:
    """Inverse of `words_of`."""
    return words.astype(words.dtype.newbyteorder("<"), copy=False).tobytes()


def little(into: Bytes, width: int) -> Words:
    """Room for numbers, little-endian as they are stored, in a chunk's bytes."""
    return into.view(np.dtype(f"<u{width}"))


def low_sizes(counts: list[int]) -> list[int]:
    """Bytes of `low_bits` for each length, of which there are `counts`."""
    return [
        0 if length < 2 else ((length - 1) // 8) * count + -(-((length - 1) % 8) * count // 8)
        for length, count in enumerate(counts)
    ]
