"""The loops over a chunk's numbers in NumPy, for hosts without a compiler.

Everything here is exact integer arithmetic, so it gives the same bits on every machine.
"""

import numpy as np
from numpy.typing import NDArray

from storage.checkpoints.codecs.loops import Bytes, Words, low_sizes, raw_of, words_of
from storage.checkpoints.errors import Damaged


class Plain:
    """See `Loops`."""

    name = "NumPy"

    def residuals(self, bits: Words, prediction: Words, *, floats: bool) -> tuple[Words, Bytes]:
        """See `Loops`."""
        residuals = _folded(_ordered(bits, floats) - _ordered(prediction, floats))
        return residuals, _lengths(residuals)

    def restored(self, residuals: Words, prediction: Words, into: Words, *, floats: bool) -> None:
        """See `Loops`."""
        into[:] = _unordered(_ordered(prediction, floats) + _unfolded(residuals), floats)

    def low_bits(self, residuals: Words, lengths: Bytes) -> bytes:
        """See `Loops`."""
        order = np.argsort(lengths, kind="stable")
        begin, parts = 0, []
        for length, count in enumerate(np.bincount(lengths, minlength=1)):
            if length > 1 and count:
                parts.append(_low_bits(residuals[order[begin : begin + count]], length - 1))
            begin += count
        return b"".join(parts)

    def from_low_bits(self, stored: memoryview, lengths: Bytes, width: int) -> Words:
        """See `Loops`."""
        dtype = np.dtype(f"=u{width}")
        residuals = np.zeros(len(lengths), dtype)
        order = np.argsort(lengths, kind="stable")
        counts = np.bincount(lengths, minlength=1).tolist()
        begin, at = 0, 0
        for length, (count, size) in enumerate(zip(counts, low_sizes(counts), strict=True)):
            members = order[begin : begin + count]
            begin += count
            if length == 1:
                residuals[members] = 1
            elif length > 1 and count:
                low = _from_low_bits(stored[at : at + size], length - 1, count, dtype)
                residuals[members] = low | dtype.type(1 << (length - 1))
                at += size
        return residuals

    def exponents(self, bits: Words, shift: int, width: int) -> Bytes:
        """See `Loops`."""
        return ((bits >> shift) & ((1 << width) - 1)).astype(np.uint8)

    def widened(self, halves: Words) -> Words:
        """See `Loops`."""
        return halves.astype(np.uint32) << 16

    def narrowed(self, wide: Words) -> Words:
        """See `Loops`."""
        return ((wide + np.uint32(0x7FFF) + ((wide >> 16) & 1)) >> 16).astype(np.uint16)

    def planes(self, bits: Words) -> Bytes:
        """See `Loops`."""
        return np.ascontiguousarray(_bytes_of(bits).T).reshape(-1)

    def from_planes(self, planes: Bytes, into: Words) -> None:
        """See `Loops`."""
        into[:] = words_of(np.ascontiguousarray(planes.reshape(into.itemsize, -1).T).data, into.itemsize)

    def split(self, bits: Words) -> tuple[Bytes, Bytes]:
        """See `Loops`."""
        planes = self.planes(_turned(bits, 1))
        return planes[len(planes) - len(bits) :], planes[: len(planes) - len(bits)]

    def from_split(self, highest: Bytes, planes: Bytes, into: Words) -> None:
        """See `Loops`."""
        self.from_planes(np.concatenate([planes, highest]), into)
        into[:] = _turned(into, 8 * into.itemsize - 1)

    def histogram(self, values: Bytes) -> Words:
        """See `Loops`."""
        return np.bincount(values, minlength=256).astype(np.uint64)

    def by_context(self, symbols: Bytes, contexts: Bytes) -> Bytes:
        """See `Loops`."""
        return symbols[np.argsort(contexts, kind="stable")]

    def from_context(self, symbols: Bytes, contexts: Bytes) -> Bytes:
        """See `Loops`."""
        back = np.empty_like(symbols)
        back[np.argsort(contexts, kind="stable")] = symbols
        return back


def _turned(bits: Words, by: int) -> Words:
    """Rotated left."""
    turned: Words = (bits << by) | (bits >> (8 * bits.itemsize - by))
    return turned


def _ordered(bits: Words, floats: bool) -> Words:
    """Floats as integers that grow with their values (-0.0 just below 0.0); integers as they are."""
    if not floats:
        return bits
    top = bits.dtype.type(1 << (8 * bits.itemsize - 1))
    negative = (bits >> (8 * bits.itemsize - 1)).astype(bits.dtype)
    mapped: Words = bits ^ ((bits.dtype.type(0) - negative) | top)
    return mapped


def _unordered(values: Words, floats: bool) -> Words:
    if not floats:
        return values
    top = values.dtype.type(1 << (8 * values.itemsize - 1))
    positive = (values >> (8 * values.itemsize - 1)).astype(values.dtype)
    mapped: Words = values ^ ((positive - values.dtype.type(1)) | top)
    return mapped


def _folded(difference: Words) -> Words:
    sign = difference.dtype.type(0) - (difference >> (8 * difference.itemsize - 1))
    residual: Words = (difference << 1) ^ sign
    return residual


def _unfolded(residual: Words) -> Words:
    difference: Words = (residual >> 1) ^ (residual.dtype.type(0) - (residual & 1))
    return difference


def _lengths(values: Words) -> NDArray[np.uint8]:
    """Bits that each number takes: 0 for 0, 1 for 1, 2 for 2 and 3, …"""
    if values.itemsize == 8:
        high = _lengths((values >> 32).astype(np.uint32))
        low = _lengths((values & 0xFFFFFFFF).astype(np.uint32))
        return np.where(high > 0, high + 32, low).astype(np.uint8)
    # frexp of a float64 is exact for integers below 2^53
    return np.frexp(values.astype(np.float64))[1].astype(np.uint8)


def _bytes_of(values: Words) -> NDArray[np.uint8]:
    """[n, width], the lowest byte first."""
    return np.frombuffer(raw_of(values), np.uint8).reshape(len(values), values.itemsize)


def _low_bits(values: Words, bits: int) -> bytes:
    """The low `bits` of each: whole bytes plane by plane, lowest first; then what is left, packed."""
    planes = _bytes_of(values)
    whole, rest = divmod(bits, 8)
    parts = [planes[:, number].tobytes() for number in range(whole)]
    if rest:
        parts.append(_packed(planes[:, whole] & np.uint8((1 << rest) - 1), rest))
    return b"".join(parts)


def _from_low_bits(stored: memoryview, bits: int, count: int, dtype: np.dtype[np.generic]) -> Words:
    whole, rest = divmod(bits, 8)
    data = np.frombuffer(stored, np.uint8)
    planes = np.zeros((count, dtype.itemsize), np.uint8)
    for number in range(whole):
        planes[:, number] = data[number * count : (number + 1) * count]
    if rest:
        planes[:, whole] = _unpacked(data[whole * count :], rest, count)
    return words_of(planes.tobytes(), dtype.itemsize)


def _packed(values: NDArray[np.uint8], bits: int) -> bytes:
    """Numbers of `bits` bits one behind the other, the highest bit first; zeros fill the last byte."""
    eights = np.zeros((-(-len(values) // 8), 8), np.uint8)
    eights.reshape(-1)[: len(values)] = values
    joined = eights[:, 0].astype(np.uint64)
    for number in range(1, 8):
        joined = (joined << np.uint64(bits)) | eights[:, number]
    data = joined.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - bits :].tobytes()
    return data[: -(-bits * len(values) // 8)]


def _unpacked(data: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    left_over = -bits * count % 8
    if left_over and data[-1] & ((1 << left_over) - 1):
        raise Damaged("bits are set behind the last residual")
    rows = -(-count // 8)
    filled = np.zeros(rows * bits, np.uint8)
    filled[: len(data)] = data
    eights = np.zeros((rows, 8), np.uint8)
    eights[:, 8 - bits :] = filled.reshape(rows, bits)
    joined = eights.view(">u8")[:, 0].astype(np.uint64)
    values = np.empty((rows, 8), np.uint8)
    for number in range(8):
        values[:, 7 - number] = joined & np.uint64((1 << bits) - 1)
        joined = joined >> np.uint64(bits)
    return values.reshape(-1)[:count]
