"""How a chunk's bytes are stored: lossless to the bit, chosen by trial, checked by decoding at once."""

import threading
from typing import Protocol

import numpy as np
import zstandard

from storage.checkpoints.errors import Damaged, UnsupportedRepository
from storage.checkpoints.tensor import DTYPES, Buffer


class Codec(Protocol):
    """One way to store bytes. Both methods are safe to call from many threads."""

    def encode(self, raw: memoryview, width: int) -> Buffer:
        """Stored form of `raw`, which is a sequence of numbers of `width` bytes."""
        ...

    def decode(self, stored: bytes, size: int, width: int) -> bytes:
        """The `size` raw bytes. Raises Damaged."""
        ...


class Raw:
    """The bytes as they are."""

    def encode(self, raw: memoryview, width: int) -> Buffer:
        """See `Codec`."""
        return raw

    def decode(self, stored: bytes, size: int, width: int) -> bytes:
        """See `Codec`."""
        if len(stored) != size:
            raise Damaged(f"a raw chunk has {len(stored)} bytes instead of {size}")
        return stored


class Zstd:
    """One zstd frame that names its content size."""

    def __init__(self, level: int) -> None:
        self.level = level
        self._local = threading.local()  # a zstd context must not be shared between threads

    def encode(self, raw: memoryview, width: int) -> bytes:
        """See `Codec`."""
        if not hasattr(self._local, "compressor"):
            self._local.compressor = zstandard.ZstdCompressor(level=self.level)
        encoded: bytes = self._local.compressor.compress(raw)
        return encoded

    def decode(self, stored: bytes, size: int, width: int) -> bytes:
        """See `Codec`."""
        try:
            # the frame's own word decides how much is allocated, so it is checked first
            claimed = zstandard.get_frame_parameters(stored).content_size
            if claimed != size:
                raise Damaged(f"a zstd frame claims {claimed} bytes instead of {size}")
            if not hasattr(self._local, "decompressor"):
                self._local.decompressor = zstandard.ZstdDecompressor()
            raw: bytes = self._local.decompressor.decompress(
                stored, max_output_size=size, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise Damaged(f"a zstd frame cannot be decoded: {error}") from error
        if len(raw) != size:
            raise Damaged(f"a zstd frame holds {len(raw)} bytes instead of {size}")
        return raw


class Planes:
    """All first bytes of the numbers, then all second ones, …: exponents compress well among themselves."""

    def __init__(self, inner: Codec) -> None:
        self.inner = inner

    def encode(self, raw: memoryview, width: int) -> Buffer:
        """See `Codec`."""
        planes = np.frombuffer(raw, np.uint8).reshape(-1, width).T
        return self.inner.encode(memoryview(planes.tobytes()), 1)

    def decode(self, stored: bytes, size: int, width: int) -> bytes:
        """See `Codec`."""
        planes = self.inner.decode(stored, size, 1)
        return np.frombuffer(planes, np.uint8).reshape(width, -1).T.tobytes()


# Levels by trial on weights and Adam's moments: within byte planes level 1 is both faster and smaller than 3.
CODECS: dict[str, Codec] = {"raw": Raw(), "zstd": Zstd(level=3), "planes-zstd": Planes(Zstd(level=1))}

_WORTH_IT = 63 / 64  # a codec that gains less only costs time at every restore


def number_width(dtype: str) -> int:
    """Bytes of the numbers a dtype is made of: a complex one is two."""
    return DTYPES[dtype] // 2 if dtype.startswith("complex") else DTYPES[dtype]


def encode(dtype: str, raw: memoryview) -> tuple[str, Buffer]:
    """The smallest stored form of a chunk and its codec's name."""
    width = number_width(dtype)
    best, stored = "raw", CODECS["raw"].encode(raw, width)
    bound = len(raw) * _WORTH_IT
    for name in ("zstd", "planes-zstd") if width > 1 else ("zstd",):
        candidate = CODECS[name].encode(raw, width)
        if len(candidate) < min(bound, len(stored)):
            best, stored = name, candidate
    if best != "raw" and decode(best, dtype, bytes(stored), len(raw)) != raw:
        raise AssertionError(f"codec {best} does not give back what it was given")
    return best, stored


def decode(codec: str, dtype: str, stored: bytes, size: int) -> bytes:
    """The raw bytes of a chunk: exactly `size`, whatever `stored` claims. Raises Damaged."""
    return CODECS[checked_codec(codec)].decode(stored, size, number_width(dtype))


def checked_codec(name: str) -> str:
    """`name`, if we know it. Not `Damaged`: a newer program may have written it, and its commits are fine."""
    if name not in CODECS:
        raise UnsupportedRepository(
            f"codec {name[:60]!r} is not one of {sorted(CODECS)}; use a newer version"
        )
    return name
