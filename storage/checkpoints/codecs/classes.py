"""Residuals as bit lengths and the bits below: lengths compress, the bits are noise and are packed.

A residual of n bits has length n. Its highest bit is a 1 and is not stored; the n - 1 bits below it are.
Lengths are compressed in groups of residuals whose contexts (bytes that the decoder knows too) are alike.
Source: Elias's gamma code (1975), its unary part replaced by an entropy coder with contexts.
The layout, byte by byte: docs/checkpoint-format.md#codecs
"""

import struct

import numpy as np
from numpy.typing import NDArray

from storage.checkpoints.codecs.alone import compress, decompress
from storage.checkpoints.codecs.bits import Words, lengths
from storage.checkpoints.errors import Damaged
from storage.checkpoints.tensor import Buffer

SMALLEST_GROUP = 4096
"""Residuals; fewer of a context are grouped with those of the next one."""

_LEVEL = 3


def pack(residuals: Words, contexts: NDArray[np.uint8]) -> bytes:
    """Stored form; `unpack` needs the same contexts."""
    classes = lengths(residuals)
    parts = [pack_grouped(classes, contexts)]
    order = np.argsort(classes, kind="stable")
    counts = np.bincount(classes, minlength=1)
    begin = 0
    for length, count in enumerate(counts):
        if length > 1 and count:
            parts.append(_low_bits(residuals[order[begin : begin + count]], length - 1))
        begin += count
    return b"".join(parts)


def unpack(stored: Buffer, contexts: NDArray[np.uint8], width: int) -> Words:
    """Residuals of `width` bytes, as many as there are contexts. Raises Damaged."""
    view = memoryview(stored)
    classes, at = unpack_grouped(view, contexts)
    if len(classes) and int(classes.max()) > 8 * width:
        raise Damaged(f"a residual of {int(classes.max())} bits does not fit {width} bytes")
    dtype = np.dtype(f"<u{width}")
    residuals = np.zeros(len(classes), dtype)
    order = np.argsort(classes, kind="stable")
    begin = 0
    for length, count in enumerate(np.bincount(classes, minlength=1).tolist()):
        members = order[begin : begin + count]
        begin += count
        if length == 1:
            residuals[members] = 1
        elif length > 1 and count:
            size = _low_bytes(length - 1, count)
            low = _from_low_bits(view[at : at + size], length - 1, count, dtype)
            residuals[members] = low | dtype.type(1 << (length - 1))
            at += size
    if at != len(view):
        raise Damaged(f"{len(view) - at} bytes are left over behind the residuals")
    return residuals


def pack_grouped(symbols: NDArray[np.uint8], contexts: NDArray[np.uint8]) -> bytes:
    """Bytes, compressed group by group: the frames' sizes (4 bytes each), then the frames."""
    if not len(symbols):
        return b""
    order, counts = _groups(contexts)
    sorted_symbols, begin, frames = symbols if order is None else symbols[order], 0, []
    for count in counts:
        frames.append(compress(sorted_symbols[begin : begin + count].tobytes(), _LEVEL))
        begin += count
    return struct.pack(f"<{len(frames)}I", *map(len, frames)) + b"".join(frames)


def unpack_grouped(stored: memoryview, contexts: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """The bytes, one for each context, and how many of `stored` they took. Raises Damaged."""
    symbols = np.empty(len(contexts), np.uint8)
    if not len(contexts):
        return symbols, 0
    order, counts = _groups(contexts)
    at = 4 * len(counts)
    if len(stored) < at:
        raise Damaged(f"{len(stored)} bytes do not hold the sizes of {len(counts)} frames")
    frames = []
    for size, count in zip(struct.unpack(f"<{len(counts)}I", stored[:at]), counts, strict=True):
        frames.append(decompress(stored[at : at + size], count))
        at += size
    joined = np.frombuffer(b"".join(frames), np.uint8)
    if order is None:
        return joined, at
    symbols[order] = joined
    return symbols, at


def _groups(contexts: NDArray[np.uint8]) -> tuple[NDArray[np.intp] | None, list[int]]:
    """The order that puts equal contexts together (None: it is theirs already), and the groups' sizes."""
    counts = np.bincount(contexts)
    groups, open_ = [], 0
    for count in counts.tolist():
        open_ += count
        if open_ >= SMALLEST_GROUP:
            groups.append(open_)
            open_ = 0
    if open_ and groups:
        groups[-1] += open_
    elif open_:
        groups.append(open_)
    return (None if len(groups) == 1 else np.argsort(contexts, kind="stable")), groups


def _low_bytes(bits: int, count: int) -> int:
    return (bits // 8) * count + -(-(bits % 8) * count // 8)


def _low_bits(values: Words, bits: int) -> bytes:
    """The low `bits` of each: whole bytes plane by plane, lowest first; then what is left, packed."""
    planes = values.view(np.uint8).reshape(len(values), values.itemsize)
    whole, rest = divmod(bits, 8)
    parts = [planes[:, number].tobytes() for number in range(whole)]
    if rest:
        parts.append(_packed(planes[:, whole] & np.uint8((1 << rest) - 1), rest))
    return b"".join(parts)


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
    """Inverse of `_packed`. Raises Damaged: bits are set behind the last number."""
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


def _from_low_bits(stored: memoryview, bits: int, count: int, dtype: np.dtype[np.generic]) -> Words:
    """Inverse of `_low_bits`. Raises Damaged."""
    whole, rest = divmod(bits, 8)
    if len(stored) != _low_bytes(bits, count):
        raise Damaged(f"{len(stored)} bytes do not hold {bits} bits of {count} residuals")
    data = np.frombuffer(stored, np.uint8)
    planes = np.zeros((count, dtype.itemsize), np.uint8)
    for number in range(whole):
        planes[:, number] = data[number * count : (number + 1) * count]
    if rest:
        planes[:, whole] = _unpacked(data[whole * count :], rest, count)
    return planes.view(dtype)[:, 0]
