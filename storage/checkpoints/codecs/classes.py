"""Residuals as bit lengths and the bits below: lengths compress, the bits are noise and are packed.

A residual of n bits has length n. Its highest bit is a 1 and is not stored; the n - 1 bits below it are.
Lengths are compressed in groups of residuals whose contexts (bytes that the decoder knows too) are alike.
Source: Elias's gamma code (1975), its unary part replaced by an entropy coder with contexts.
The layout, byte by byte: docs/checkpoint-format.md#codecs
"""

import struct

import numpy as np
from numpy.typing import NDArray

from storage.checkpoints.codecs.alone import decompress
from storage.checkpoints.codecs.bits import EXPONENT_BITS
from storage.checkpoints.codecs.compiled import LOOPS
from storage.checkpoints.codecs.loops import Bytes, Words, low_sizes
from storage.checkpoints.codecs.symbols import compress_groups
from storage.checkpoints.errors import Damaged
from storage.checkpoints.tensor import Buffer

SMALLEST_GROUP = 4096
"""Residuals; fewer of a context are grouped with those of the next one."""


def pack(bits: Words, prediction: Words, contexts: Bytes, dtype: str) -> bytes:
    """Stored form of numbers beside a prediction; `unpack` needs the same prediction and contexts."""
    residuals, classes = LOOPS.residuals(bits, prediction, floats=dtype in EXPONENT_BITS)
    return b"".join((*pack_grouped(classes, contexts), LOOPS.low_bits(residuals, classes)))


def unpack(stored: Buffer, prediction: Words, contexts: Bytes, into: Words, dtype: str) -> None:
    """Put the numbers into `into`, little-endian, as many as there are contexts. Raises Damaged."""
    view, width = memoryview(stored), prediction.itemsize
    classes, at = unpack_grouped(view, len(contexts), contexts)
    counts = LOOPS.histogram(classes)
    if counts[8 * width + 1 :].any():
        raise Damaged(f"a residual of {int(classes.max())} bits does not fit {width} bytes")
    size = sum(low_sizes(counts.tolist()))
    if len(view) - at != size:
        raise Damaged(f"{len(view) - at} bytes do not hold the {size} of {len(classes)} residuals")
    residuals = LOOPS.from_low_bits(view[at:], classes, width)
    LOOPS.restored(residuals, prediction, into, floats=dtype in EXPONENT_BITS)


def pack_grouped(symbols: Bytes, contexts: Bytes | None) -> list[bytes]:
    """Bytes, compressed group by group: the frames' sizes (4 bytes each), then the frames.

    Without contexts all of them are one group.
    """
    if not len(symbols):
        return []
    counts = _groups(len(symbols), contexts)
    joined = symbols if contexts is None or len(counts) == 1 else LOOPS.by_context(symbols, contexts)
    frames = compress_groups(joined, counts)
    return [struct.pack(f"<{len(frames)}I", *map(len, frames)), *frames]


def unpack_grouped(stored: memoryview, many: int, contexts: Bytes | None) -> tuple[NDArray[np.uint8], int]:
    """So `many` bytes, one for each context, and how many of `stored` they took. Raises Damaged."""
    if not many:
        return np.empty(0, np.uint8), 0
    counts = _groups(many, contexts)
    at = 4 * len(counts)
    if len(stored) < at:
        raise Damaged(f"{len(stored)} bytes do not hold the sizes of {len(counts)} frames")
    frames = []
    for size, count in zip(struct.unpack(f"<{len(counts)}I", stored[:at]), counts, strict=True):
        frames.append(decompress(stored[at : at + size], count))
        at += size
    joined = np.frombuffer(frames[0] if len(frames) == 1 else b"".join(frames), np.uint8)
    return (joined if contexts is None or len(counts) == 1 else LOOPS.from_context(joined, contexts)), at


def _groups(many: int, contexts: Bytes | None) -> list[int]:
    """Sizes of the groups; what is in them stands in the order of contexts, unless there is one group."""
    if contexts is None:
        return [many]
    groups, open_ = [], 0
    for count in LOOPS.histogram(contexts).tolist():
        open_ += count
        if open_ >= SMALLEST_GROUP:
            groups.append(open_)
            open_ = 0
    if open_ and groups:
        groups[-1] += open_
    elif open_:
        groups.append(open_)
    return groups
