"""Codecs that need nothing but the chunk itself; those of format 1, which every program can read."""

import threading

import numpy as np
import zstandard

from storage.checkpoints.codecs.codec import Scalars
from storage.checkpoints.codecs.compiled import LOOPS
from storage.checkpoints.codecs.loops import Bytes, little, words_of
from storage.checkpoints.errors import Damaged
from storage.checkpoints.tensor import DTYPES, Buffer

_local = threading.local()  # a zstd context must not be shared between threads


def compress(raw: Buffer, level: int) -> bytes:
    """One zstd frame that names its content size."""
    compressors = _local.__dict__.setdefault("compressors", {})
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(level=level)
    encoded: bytes = compressors[level].compress(raw)
    return encoded


def decompress(stored: Buffer, size: int) -> bytes:
    """The `size` bytes of a frame. Raises Damaged, before anything is allocated if the frame claims more."""
    try:
        claimed = zstandard.get_frame_parameters(stored).content_size
        if claimed != size:
            raise Damaged(f"a zstd frame claims {claimed} bytes instead of {size}")
        if not hasattr(_local, "decompressor"):
            _local.decompressor = zstandard.ZstdDecompressor()
        raw: bytes = _local.decompressor.decompress(stored, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Damaged(f"a zstd frame cannot be decoded: {error}") from error
    if len(raw) != size:
        raise Damaged(f"a zstd frame holds {len(raw)} bytes instead of {size}")
    return raw


class Raw:
    """The bytes as they are."""

    bases, scalars, format = 0, 0, 1

    def encode(self, raw: Buffer, dtype: str, bases: tuple[Buffer, ...], scalars: Scalars) -> Buffer:
        """See `Codec`."""
        return raw

    def decode(
        self, stored: Buffer, dtype: str, into: Bytes, bases: tuple[Buffer, ...], scalars: Scalars
    ) -> None:
        """See `Codec`."""
        if len(stored) != len(into):
            raise Damaged(f"a raw chunk has {len(stored)} bytes instead of {len(into)}")
        into[:] = np.frombuffer(stored, np.uint8)


class Zstd:
    """One zstd frame."""

    bases, scalars, format = 0, 0, 1

    def encode(self, raw: Buffer, dtype: str, bases: tuple[Buffer, ...], scalars: Scalars) -> bytes:
        """See `Codec`."""
        return compress(raw, 3)

    def decode(
        self, stored: Buffer, dtype: str, into: Bytes, bases: tuple[Buffer, ...], scalars: Scalars
    ) -> None:
        """See `Codec`."""
        into[:] = np.frombuffer(decompress(stored, len(into)), np.uint8)


class Planes:
    """All first bytes of the numbers, then all second ones, …: exponents compress well among themselves."""

    bases, scalars, format = 0, 0, 1

    def encode(self, raw: Buffer, dtype: str, bases: tuple[Buffer, ...], scalars: Scalars) -> bytes:
        """See `Codec`. Level 1 is both faster and smaller than 3 here."""
        return compress(LOOPS.planes(words_of(raw, number_width(dtype))).data, 1)

    def decode(
        self, stored: Buffer, dtype: str, into: Bytes, bases: tuple[Buffer, ...], scalars: Scalars
    ) -> None:
        """See `Codec`."""
        planes = np.frombuffer(decompress(stored, len(into)), np.uint8)
        LOOPS.from_planes(planes, little(into, number_width(dtype)))


def number_width(dtype: str) -> int:
    """Bytes of the numbers a dtype is made of: a complex one is two."""
    width = DTYPES[dtype]
    return width // 2 if dtype.startswith("complex") else width
