"""A manifest: all that a restore of one commit needs to know. Immutable."""

import base64
import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Self

from storage.checkpoints import canonical, fields
from storage.checkpoints.chunks import CHUNK_LIMIT, ChunkId, chunk_id, cut
from storage.checkpoints.codecs import CODECS, Scalars, checked_codec, fits
from storage.checkpoints.errors import Damaged, InvalidName, TooLarge, UnsupportedRepository
from storage.checkpoints.identity import CLEAR, OVERHEAD, Identity
from storage.checkpoints.names import checked_object_name, checked_tensor_name
from storage.checkpoints.tensor import DTYPES, Buffer, check_geometry, raw_bytes

PACK_LIMIT = 64 * 2**20
STORED_LIMIT = CHUNK_LIMIT + OVERHEAD
"""Stored bytes of a chunk: no codec may make it larger, encryption does by a little."""
DEPTH_LIMIT = 64
"""The longest chain of predictions that a reader accepts."""
INLINE_LIMIT = 1024
"""Raw bytes up to which a tensor stands in the manifest itself."""

SEALED_LIMIT = 64 * 2**20
_MANIFEST = b"manifest\0"
_SEALED_FIELDS = ("packs", "sealed")
_FIELDS = ("attempt", "chunks", "created", "meta", "packs", "run", "step", "tensors")


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """One commit's tensors, where their chunks lie, and its meta."""

    run: str
    attempt: str
    step: int
    created: str
    meta: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]
    locations: Mapping[ChunkId, Location]
    """Of all chunks of the tensors, and of all that these are predicted from; bases come first."""
    packs: Mapping[str, int]
    """Every pack that a restore needs, with its bytes."""
    identity: Identity = field(default=CLEAR, compare=False, repr=False)
    """Of the repository."""

    @property
    def commit_id(self) -> str:
        """Hash of the logical content."""
        return commit_id(self.step, self.tensors, self.meta, self.identity)

    @property
    def raw_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def to_bytes(self) -> bytes:
        """The object's content. Raises TooLarge."""
        packs = {name: number for number, name in enumerate(self.packs)}
        chunks = {chunk: number for number, chunk in enumerate(self.locations)}
        return _sealed(
            self.identity,
            {
                "attempt": self.attempt,
                "chunks": [_entry(chunk, at, packs[at.pack], chunks) for chunk, at in self.locations.items()],
                "created": self.created,
                "meta": self.meta,
                "packs": [[name, size] for name, size in self.packs.items()],
                "run": self.run,
                "step": self.step,
                "tensors": {name: _to_json(tensor, chunks) for name, tensor in self.tensors.items()},
            },
        )

    @classmethod
    def from_bytes(cls, data: bytes, what: str, identity: Identity = CLEAR) -> Self:
        """Raises Damaged; UnsupportedRepository for a codec or dtype of a newer version; WrongKey."""
        value = _opened(identity, canonical.loads(data, what), what)
        got = fields.Fields(value, what, _FIELDS)
        packs = _packs(got)
        locations = _locations(got, list(packs.items()))
        chunks = tuple(locations)
        sizes: dict[ChunkId, tuple[str, int]] = {}
        tensors = {
            name: _from_json(name, tensor, f"{what}: tensor {name[:60]!r}", chunks, sizes, identity)
            for name, tensor in got.mapping("tensors").items()
        }
        _check_chunks(locations, sizes, what, OVERHEAD if identity.sealed else 0)
        return cls(
            run=got.text("run"),
            attempt=got.text("attempt"),
            step=got.count("step"),
            created=got.text("created"),
            meta=got.mapping("meta"),
            tensors=tensors,
            locations=locations,
            packs=packs,
            identity=identity,
        )


def packs_of(data: bytes, what: str) -> dict[str, int]:
    """Only the packs of a manifest, with their bytes; codecs and keys may be unknown. Raises Damaged."""
    value = canonical.loads(data, what)
    sealed = isinstance(value, dict) and "sealed" in value
    return _packs(fields.Fields(value, what, _SEALED_FIELDS if sealed else _FIELDS))


def commit_id(
    step: int,
    tensors: Mapping[str, StoredTensor],
    meta: Mapping[str, Any],
    identity: Identity = CLEAR,
) -> str:
    """Id of a commit: it depends on what is stored, not on how, where, when or by whom."""
    logical = {name: [it.dtype, list(it.shape), list(it.chunks)] for name, it in tensors.items()}
    meta_hash = identity.digest(canonical.dumps(meta))
    return identity.digest(canonical.dumps(["carousel commit 1", step, logical, meta_hash]))[:32]


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


def _sealed(identity: Identity, value: dict[str, Any]) -> bytes:
    """A manifest's bytes; of an encrypted one the packs stay readable, for collections without the key."""
    if not identity.sealed:
        return canonical.dumps(value)
    packs = value.pop("packs")
    hidden = identity.seal(canonical.dumps(value), _MANIFEST + canonical.dumps(packs))
    return canonical.dumps({"packs": packs, "sealed": base64.b64encode(hidden).decode()})


def _opened(identity: Identity, value: Any, what: str) -> Any:
    """Inverse of `_sealed`. Raises Damaged, WrongKey."""
    if not identity.sealed:
        return value
    got = fields.Fields(value, what, _SEALED_FIELDS)
    packs = got.items("packs")
    try:
        hidden = base64.b64decode(got.text("sealed", 2 * SEALED_LIMIT), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Damaged(f"{what}: {error}") from error
    plain = identity.open(hidden, _MANIFEST + canonical.dumps(packs), what)
    inner = canonical.loads(bytes(plain), what)
    if not isinstance(inner, dict) or "packs" in inner:
        raise Damaged(f"{what} does not hold a manifest")
    return {**inner, "packs": packs}


def _to_json(tensor: StoredTensor, numbers: Mapping[ChunkId, int]) -> dict[str, Any]:
    value: dict[str, Any] = {"dtype": tensor.dtype, "shape": list(tensor.shape)}
    if tensor.block_rows is not None:
        value["block_rows"] = tensor.block_rows
    if tensor.inline is not None:
        value["inline"] = base64.b64encode(tensor.inline).decode()
    else:
        value["chunks"] = [numbers[chunk] for chunk in tensor.chunks]
    return value


def _packs(got: fields.Fields) -> dict[str, int]:
    packs = [fields.sized_name(pack, f"{got.what}.packs", PACK_LIMIT) for pack in got.items("packs")]
    named = {checked_object_name(name, "a pack"): size for name, size in packs}
    if len(named) != len(packs):
        raise Damaged(f"{got.what} lists a pack twice")
    return named


def _entry(chunk: ChunkId, at: Location, pack: int, numbers: Mapping[ChunkId, int]) -> list[Any]:
    alone = [chunk, pack, at.offset, at.size, at.codec]
    if not at.bases:
        return alone
    return [*alone, [numbers[base] for base in at.bases], [scalar_bits(value) for value in at.scalars]]


def _locations(got: fields.Fields, packs: list[tuple[str, int]]) -> dict[ChunkId, Location]:
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


def _check_chunks(
    locations: Mapping[ChunkId, Location], sizes: dict[ChunkId, tuple[str, int]], what: str, overhead: int
) -> None:
    """Stored sizes, and dtypes and sizes of what tensors do not name: a base is as what is predicted from it.

    `sizes` are those of the tensors' chunks; it comes to hold all others too.
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


def _from_json(
    name: str,
    value: Any,
    what: str,
    chunks: tuple[ChunkId, ...],
    sizes: dict[ChunkId, tuple[str, int]],
    identity: Identity,
) -> StoredTensor:
    """One tensor; `sizes` collects dtype and raw bytes of each chunk, which must be the same everywhere."""
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
