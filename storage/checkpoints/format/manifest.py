"""A manifest: all that a restore of one commit needs to know. Immutable."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from storage.checkpoints.errors import Damaged
from storage.checkpoints.format import canonical, fields
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.identity import CLEAR, OVERHEAD, Identity
from storage.checkpoints.format.locations import Location, check_chunks, entry_of, locations_of
from storage.checkpoints.format.names import checked_object_name
from storage.checkpoints.format.stored_tensor import StoredTensor, from_json, to_json

PACK_LIMIT = 64 * 2**20
SEALED_LIMIT = 64 * 2**20
_MANIFEST = b"manifest\0"
_SEALED_FIELDS = ("packs", "sealed")
_FIELDS = ("attempt", "chunks", "created", "meta", "packs", "run", "step", "tensors")


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
                "chunks": [
                    entry_of(chunk, at, packs[at.pack], chunks) for chunk, at in self.locations.items()
                ],
                "created": self.created,
                "meta": self.meta,
                "packs": [[name, size] for name, size in self.packs.items()],
                "run": self.run,
                "step": self.step,
                "tensors": {name: to_json(tensor, chunks) for name, tensor in self.tensors.items()},
            },
        )

    @classmethod
    def from_bytes(cls, data: bytes, what: str, identity: Identity = CLEAR) -> Self:
        """Raises Damaged; UnsupportedRepository for a codec or dtype of a newer version; WrongKey."""
        value = _opened(identity, canonical.loads(data, what), what)
        got = fields.Fields(value, what, _FIELDS)
        packs = _packs(got)
        locations = locations_of(got, list(packs.items()))
        chunks = tuple(locations)
        sizes: dict[ChunkId, tuple[str, int]] = {}
        tensors = {
            name: from_json(name, tensor, f"{what}: tensor {name[:60]!r}", chunks, sizes, identity)
            for name, tensor in got.mapping("tensors").items()
        }
        check_chunks(locations, sizes, what, OVERHEAD if identity.sealed else 0)
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


def _packs(got: fields.Fields) -> dict[str, int]:
    packs = [fields.sized_name(pack, f"{got.what}.packs", PACK_LIMIT) for pack in got.items("packs")]
    named = {checked_object_name(name, "a pack"): size for name, size in packs}
    if len(named) != len(packs):
        raise Damaged(f"{got.what} lists a pack twice")
    return named
