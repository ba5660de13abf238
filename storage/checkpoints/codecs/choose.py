"""The smallest stored form of a chunk, found by trial on a part of it, and proven by decoding."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from storage.checkpoints.codecs import arithmetic
from storage.checkpoints.codecs.alone import Planes, Raw, Zstd, number_width
from storage.checkpoints.codecs.bits import EXPONENT_BITS
from storage.checkpoints.codecs.codec import Codec, Encoded, Prediction, Scalars
from storage.checkpoints.codecs.loops import Bytes
from storage.checkpoints.codecs.predict import Residual, adam, decayed, second_moment
from storage.checkpoints.codecs.split import Split
from storage.checkpoints.codecs.symbols import repeats
from storage.checkpoints.errors import UnsupportedRepository
from storage.checkpoints.tensor import Buffer

CODECS: Mapping[str, Codec] = {
    "raw": Raw(),
    "zstd": Zstd(),
    "planes-zstd": Planes(),
    "split": Split(by_exponent=False),
    "split-by": Split(by_exponent=True),
    "difference": Residual(1, 0, None, context=0),
    "second-moment-decayed": Residual(2, 1, decayed, context=1),
    "second-moment": Residual(3, 4, second_moment, context=2),
    "adam": Residual(3, 4, adam, context=0),
}
"""By the name that stands in manifests."""

_ARITHMETIC = frozenset({"second-moment-decayed", "second-moment", "adam"})
_SAMPLE = {1: 2**16, 2: 2**13}
"""Numbers that a trial looks at, in the middle of a chunk, by the codec's format: zstd's blocks are large."""
_WORTH_IT = 63 / 64
"""A codec that gains less only costs time at every restore."""


def encode(dtype: str, raw: Buffer, predictions: Sequence[Prediction] = (), *, format_: int = 2) -> Encoded:
    """The smallest stored form of a chunk.

    Args:
        dtype: of its numbers.
        raw: its bytes.
        predictions: from what it may be predicted.
        format_: of the repository: no younger codec is used.
    """
    best = _best_of_a_sample(dtype, memoryview(raw), predictions, format_)
    name, bases, scalars, number, _ = best
    if name == "raw":
        return Encoded("raw", raw)
    stored = CODECS[name].encode(raw, dtype, bases, scalars)
    if len(stored) >= len(raw) * _WORTH_IT:
        return Encoded("raw", raw)
    found = np.empty(len(raw), np.uint8)
    CODECS[name].decode(stored, dtype, found, bases, scalars)
    if not np.array_equal(found, np.frombuffer(raw, np.uint8)):
        raise AssertionError(f"codec {name} does not give back what it was given")
    return Encoded(name, stored, number)


def decode(
    codec: str,
    dtype: str,
    stored: Buffer,
    size: int,
    bases: tuple[Buffer, ...] = (),
    scalars: Scalars = (),
) -> bytes:
    """The raw bytes of a chunk: exactly `size`, whatever `stored` claims. Raises Damaged."""
    into = np.empty(size, np.uint8)
    decode_into(codec, dtype, stored, into, bases, scalars)
    return into.tobytes()


def decode_into(
    codec: str,
    dtype: str,
    stored: Buffer,
    into: Bytes,
    bases: tuple[Buffer, ...] = (),
    scalars: Scalars = (),
) -> None:
    """Put the raw bytes of a chunk where they belong: as many as there is room for. Raises Damaged."""
    CODECS[checked_codec(codec)].decode(stored, dtype, into, bases, scalars)


def checked_codec(name: str) -> str:
    """`name`, if we know it. Not `Damaged`: a newer program may have written it, and its commits are fine."""
    if name not in CODECS:
        raise UnsupportedRepository(
            f"codec {name[:60]!r} is not one of {sorted(CODECS)}; use a newer version"
        )
    return name


def fits(codec: str, dtype: str) -> bool:
    """Whether a codec can hold numbers of a dtype."""
    if codec in _ARITHMETIC:
        return dtype in arithmetic.DTYPES
    if codec.startswith("split"):
        return dtype in EXPONENT_BITS and number_width(dtype) > 1
    return True


_READ_SHARE = 0.12
"""Of the bytes that a restore reads more for a prediction: as many must it save at least (decision 013)."""

_Way = tuple[str, tuple[Buffer, ...], Scalars, int | None, int]
"""Codec, bases, scalars, which prediction it is, bytes that are read for it."""


def _best_of_a_sample(dtype: str, raw: memoryview, predictions: Sequence[Prediction], format_: int) -> _Way:
    alone: list[_Way] = [(name, (), (), None, 0) for name, codec in CODECS.items() if not codec.bases]
    offered: list[_Way] = [
        (it.codec, it.bases, it.scalars, at, it.reads) for at, it in enumerate(predictions)
    ]
    ways = [it for it in (*alone, *offered) if fits(it[0], dtype) and CODECS[it[0]].format <= format_]

    def ratio(way: _Way) -> float:
        """Stored ÷ raw bytes, and what reading costs."""
        name, bases, scalars, _, reads = way
        part = _middle(len(raw), number_width(dtype), _SAMPLE[CODECS[name].format])
        sample = raw[part]
        if name == "raw" or not len(sample):
            return _WORTH_IT
        if name == "zstd" and fits("split", dtype) and not repeats(sample):
            return math.inf  # of floats, bytes of their own kind are more alike: never the smallest
        seen = tuple(memoryview(base)[part] for base in bases)
        stored = len(CODECS[name].encode(sample, dtype, seen, scalars)) / len(sample)
        return stored + _READ_SHARE * reads / len(raw)

    return min(ways, key=ratio)


def _middle(size: int, width: int, numbers: int) -> slice:
    wanted = numbers * width
    if size <= wanted:
        return slice(0, size)
    begin = (size - wanted) // 2 // width * width
    return slice(begin, begin + wanted)
