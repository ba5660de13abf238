"""Chunks: about 1 MiB of one tensor's bytes, cut on global coordinates and identified by their hash.

Where a cut lies depends on dtype, shape and gate blocks alone, so that the same part of a tensor is the
same chunk in every commit, whoever saves it. The rule: docs/checkpoint-format.md#tensors-and-chunks
"""

from collections.abc import Iterator
from typing import TypeAlias

from storage.checkpoints.format.identity import CLEAR, Identity
from storage.checkpoints.tensor import Buffer, raw_bytes

ChunkId: TypeAlias = str
"""64 hex digits."""

CHUNK_TARGET = 2**20
CHUNK_LIMIT = 2**24
"""Bytes of the largest chunk: a longer row is cut along the next axis, so that it fits a pack and memory."""

_DOMAIN = b"carousel chunk 1"


def chunk_id(dtype: str, raw: Buffer, identity: Identity = CLEAR) -> ChunkId:
    """Identity of `raw` bytes of a dtype."""
    return identity.digest(_DOMAIN + b"\0" + dtype.encode() + b"\0", raw)


def cut(dtype: str, shape: tuple[int, ...], block_rows: int | None = None) -> Iterator[int]:
    """Bytes of each chunk of a tensor, in order; together they are the whole tensor.

    Lazy, because the shape may be a hostile one.
    """
    total = raw_bytes(dtype, shape)
    if total == 0:
        return
    if not shape:
        yield total
        return
    rows = shape[0]
    row_bytes = total // rows
    if row_bytes > CHUNK_LIMIT:
        for _ in range(rows):
            yield from cut(dtype, shape[1:])
        return
    step = max(1, CHUNK_TARGET // row_bytes)
    block = block_rows or rows
    for begin in range(0, rows, block):
        end = min(begin + block, rows)
        for row in range(begin, end, step):
            yield min(step, end - row) * row_bytes


def chunk_ids(
    dtype: str,
    shape: tuple[int, ...],
    block_rows: int | None,
    data: Buffer,
    identity: Identity = CLEAR,
) -> list[ChunkId]:
    """Ids of all chunks of a tensor with these bytes."""
    view, ids, begin = memoryview(data), [], 0
    for size in cut(dtype, shape, block_rows):
        ids.append(chunk_id(dtype, view[begin : begin + size], identity))
        begin += size
    return ids


def bound(chunk: ChunkId, codec: str) -> bytes:
    """What an encrypted chunk's bytes are bound to: they open as no other chunk and by no other codec."""
    return f"chunk\0{chunk}\0{codec}".encode()
