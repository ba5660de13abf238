"""Where chunks' stored forms lie, and how a manifest writes that down: an entry a chunk, bases first."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.checkpoints.codecs import CODECS, Scalars, checked_codec, fits
from storage.checkpoints.errors import Damaged
from storage.checkpoints.format import fields
from storage.checkpoints.format.chunks import CHUNK_LIMIT, ChunkId
from storage.checkpoints.format.identity import OVERHEAD

STORED_LIMIT = CHUNK_LIMIT + OVERHEAD
"""Stored bytes of a chunk: no codec may make it larger, encryption does by a little."""
DEPTH_LIMIT = 64
"""The longest chain of predictions that a reader accepts."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a chunk's stored form lies."""

    pack: str
    offset: int
    size: int
    """Stored bytes."""
    codec: str
    bases: tuple[ChunkId, ...] = ()
    """Chunks that it is predicted from, of its dtype and raw size."""
    scalars: Scalars = ()


def entry_of(chunk: ChunkId, at: Location, pack: int, numbers: Mapping[ChunkId, int]) -> list[Any]:
    """What stands for a chunk: `numbers` count the chunks, `pack` the packs."""
    alone = [chunk, pack, at.offset, at.size, at.codec]
    if not at.bases:
        return alone
    return [*alone, [numbers[base] for base in at.bases], [scalar_bits(value) for value in at.scalars]]


def locations_of(got: fields.Fields, packs: list[tuple[str, int]]) -> dict[ChunkId, Location]:
    """The entries of a manifest with these packs. Raises Damaged; UnsupportedRepository for a new codec."""
    what = f"{got.what}.chunks"
    locations: dict[ChunkId, Location] = {}
    known: list[ChunkId] = []
    depths: list[int] = []
    for entry in got.items("chunks"):
        alone = fields.items(entry, what)[:5]
        chunk, number, offset, size, codec = fields.items(alone, what, 5)
        if len(fields.text(chunk, what)) != 64 or set(chunk) - set("0123456789abcdef") or chunk in locations:
            raise Damaged(f"{what}: {chunk[:80]!r} is no chunk id, or there twice")
        if not packs:
            raise Damaged(f"{got.what} has chunks but no packs")
        name, pack_bytes = packs[fields.count(number, what, len(packs) - 1)]
        fields.count(size, what, min(STORED_LIMIT, pack_bytes))
        fields.count(offset, what, pack_bytes - size)
        checked_codec(fields.text(codec, what))
        bases, scalars = _prediction(entry, codec, len(known), what)
        depth = max((depths[base] + 1 for base in bases), default=0)
        if depth > DEPTH_LIMIT:
            raise Damaged(f"{what}: a chunk is predicted over more than {DEPTH_LIMIT} others")
        locations[chunk] = Location(name, offset, size, codec, tuple(known[it] for it in bases), scalars)
        known.append(chunk)
        depths.append(depth)
    return locations


def _prediction(entry: list[Any], codec: str, so_far: int, what: str) -> tuple[list[int], Scalars]:
    """Numbers of the bases, which stand before the chunk, so that no circle can be written down; scalars."""
    needs = CODECS[codec]
    if not needs.bases:
        fields.items(entry, what, 5)
        return [], ()
    *_, bases, scalars = fields.items(entry, what, 7)
    numbers = [fields.count(base, what, so_far - 1) for base in fields.items(bases, what, needs.bases)]
    return numbers, tuple(scalar_value(bits, what) for bits in fields.items(scalars, what, needs.scalars))


def scalar_bits(value: float) -> str:
    """The 64 bits of a number of a prediction, in hex, the sign first."""
    return struct.pack(">d", value).hex()


def scalar_value(bits: Any, what: str) -> float:
    """Inverse of `scalar_bits`. Raises Damaged."""
    if len(fields.text(bits, what)) != 16 or set(bits) - set("0123456789abcdef"):
        raise Damaged(f"{what}: {bits[:40]!r} are no 16 hex digits")
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    return float(value)


def check_chunks(
    locations: Mapping[ChunkId, Location], sizes: dict[ChunkId, tuple[str, int]], what: str, overhead: int
) -> None:
    """Check stored sizes, and that a base has dtype and size of what is predicted from it.

    `sizes` are those of the tensors' chunks; it comes to hold all others too. Raises Damaged.
    """
    for chunk in reversed(tuple(locations)):  # bases come first, so this meets them after all that need them
        at = locations[chunk]
        if chunk not in sizes:
            raise Damaged(f"{what}: chunk {chunk} belongs to no tensor, and nothing is predicted from it")
        dtype, size = sizes[chunk]
        if at.size > size + overhead:
            raise Damaged(f"{what}: a chunk of {size} bytes is stored in {at.size}")
        if not fits(at.codec, dtype):
            raise Damaged(f"{what}: codec {at.codec} holds no {dtype}")
        for base in at.bases:
            if sizes.setdefault(base, (dtype, size)) != (dtype, size):
                raise Damaged(f"{what}: a chunk is predicted from one of another size or dtype")
