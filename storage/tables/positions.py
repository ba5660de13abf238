"""Deleted rows of a file, as sorted positions: roaring bitmaps, as Delta and Iceberg v3 both store them.

A vector is a magic number and a 64-bit roaring bitmap in its portable form. Beside it stand its length before
and its CRC-32 after. Source: the *Deletion Vector Format* of Delta's PROTOCOL.md, and `deletion-vector-v1`
of Iceberg's Puffin specification.
"""

from __future__ import annotations

import base64
import struct
import uuid
import zlib

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap64

from storage.tables.errors import SnapshotDamaged

Positions = npt.NDArray[np.int64]
"""Row numbers in a file, ascending, each once."""

NONE: Positions = np.empty(0, np.int64)
_MAGIC = 1681511377
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_B85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_TO_B85 = str.maketrans(_Z85, _B85)


def framed(blob: bytes, where: str) -> Positions:
    """Decode a vector with its frame: length, vector, CRC-32 (both big-endian).

    Raises:
        SnapshotDamaged: the length or the checksum does not fit, or it is no vector.
    """
    length = int.from_bytes(blob[:4], "big")
    vector, checksum = blob[4 : 4 + length], blob[4 + length : 8 + length]
    if len(checksum) < 4 or zlib.crc32(vector) != int.from_bytes(checksum, "big"):
        raise SnapshotDamaged(f"the deletion vector at {where} is damaged: its checksum does not fit")
    return bare(vector, where)


def bare(vector: bytes, where: str) -> Positions:
    """Decode a vector without a frame, as Delta stores small ones inside its log."""
    if len(vector) < 12 or struct.unpack_from("<i", vector)[0] != _MAGIC:
        raise SnapshotDamaged(f"the deletion vector at {where} is damaged: it does not start as one")
    try:
        bitmap = BitMap64.deserialize(vector[4:])
    except ValueError as error:
        raise SnapshotDamaged(f"the deletion vector at {where} is damaged: {error}") from error
    return np.frombuffer(bitmap.to_array(), np.uint64).astype(np.int64)


def from_z85(text: str) -> bytes:
    """Decode ZeroMQ's base 85, which Delta uses for inline vectors and for file names."""
    return base64.b85decode(text.translate(_TO_B85))


def relative_path(text: str) -> str:
    """Path of a vector's file under its table, from its short form (a prefix and a base-85 UUID)."""
    prefix, name = text[:-20], uuid.UUID(bytes=from_z85(text[-20:]))
    return f"{prefix}/deletion_vector_{name}.bin" if prefix else f"deletion_vector_{name}.bin"


def kept(deleted: Positions, start: int, rows: int) -> npt.NDArray[np.bool_] | None:
    """Which of `rows` rows from row `start` on are live; None: all."""
    low, high = np.searchsorted(deleted, [start, start + rows])
    if low == high:
        return None
    mask = np.ones(rows, np.bool_)
    mask[deleted[low:high] - start] = False
    return mask
