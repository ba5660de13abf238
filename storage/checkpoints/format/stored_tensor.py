"""A tensor as a manifest names it: by its chunks, or with its bytes if they are few."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from storage.checkpoints.errors import Damaged, InvalidName, TooLarge, UnsupportedRepository
from storage.checkpoints.format import fields
from storage.checkpoints.format.chunks import ChunkId, chunk_ids, cut
from storage.checkpoints.format.identity import Identity
from storage.checkpoints.format.names import checked_tensor_name
from storage.checkpoints.tensor import DTYPES, check_geometry, raw_bytes

INLINE_LIMIT = 1024
"""Raw bytes up to which a tensor stands in the manifest itself."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor without its bytes, or with them if they are few."""

    dtype: str
    shape: tuple[int, ...]
    block_rows: int | None
    chunks: tuple[ChunkId, ...]
    """In order; also of an inlined tensor, whose chunks lie nowhere."""
    inline: bytes | None = None

    @property
    def nbytes(self) -> int:
        """Raw bytes."""
        return raw_bytes(self.dtype, self.shape)


def to_json(tensor: StoredTensor, numbers: Mapping[ChunkId, int]) -> dict[str, Any]:
    """What a manifest holds of a tensor; `numbers` count its chunks."""
    value: dict[str, Any] = {"dtype": tensor.dtype, "shape": list(tensor.shape)}
    if tensor.block_rows is not None:
        value["block_rows"] = tensor.block_rows
    if tensor.inline is not None:
        value["inline"] = base64.b64encode(tensor.inline).decode()
    else:
        value["chunks"] = [numbers[chunk] for chunk in tensor.chunks]
    return value


def from_json(
    name: str,
    value: Any,
    what: str,
    chunks: tuple[ChunkId, ...],
    sizes: dict[ChunkId, tuple[str, int]],
    identity: Identity,
) -> StoredTensor:
    """The inverse of `to_json`; `sizes` collects dtype and raw bytes of each chunk, the same everywhere.

    Raises:
        Damaged: it is no tensor, or contradicts what is known of its chunks.
        UnsupportedRepository: a dtype of a newer version.
    """
    got = fields.Fields(value, what, ("dtype", "shape"), ("block_rows", "chunks", "inline"))
    if ("chunks" in value) == ("inline" in value):
        raise Damaged(f"{what} must have either chunks or its bytes")
    dtype = got.text("dtype")
    if dtype not in DTYPES:
        raise UnsupportedRepository(f"{what}: dtype {dtype[:60]!r} is unknown; use a newer version")
    shape = tuple(fields.count(length, what) for length in got.items("shape"))
    block_rows = got.count("block_rows") if "block_rows" in value else None
    try:
        checked_tensor_name(name)
        check_geometry(dtype, shape, block_rows)
    except (InvalidName, TooLarge, ValueError) as error:
        raise Damaged(f"{what}: {error}") from error
    total = raw_bytes(dtype, shape)
    if "inline" in value:
        inline = _inlined(got, total)
        ids = tuple(chunk_ids(dtype, shape, block_rows, inline, identity))
        return StoredTensor(dtype, shape, block_rows, ids, inline)
    numbers = got.items("chunks")
    ids = tuple(chunks[fields.count(number, what, len(chunks) - 1)] for number in numbers)
    for chunk, size in zip_longest(
        ids, cut(dtype, shape, block_rows)
    ):  # ends at once if the shape is endless
        if chunk is None or size is None or sizes.setdefault(chunk, (dtype, size)) != (dtype, size):
            raise Damaged(f"{what}: its chunks do not make up shape {list(shape)}")
    return StoredTensor(dtype, shape, block_rows, ids)


def _inlined(got: fields.Fields, size: int) -> bytes:
    limit = 2 * INLINE_LIMIT
    try:
        inline = base64.b64decode(got.text("inline", limit), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Damaged(f"{got.what}: {error}") from error
    if len(inline) != size:
        raise Damaged(f"{got.what} has {len(inline)} bytes instead of {size}")
    return inline
