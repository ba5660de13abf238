"""What ranks that store a state together tell each other, as canonical JSON."""

import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from storage.checkpoints.background.pending import is_outage
from storage.checkpoints.format import canonical, fields
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.closure import Chain
from storage.checkpoints.format.locations import DEPTH_LIMIT, Location, scalar_bits, scalar_value
from storage.checkpoints.format.manifest import PACK_LIMIT
from storage.checkpoints.format.names import COUNT_LIMIT
from storage.checkpoints.save.storing import Stored
from storage.errors import UserError

_ORDER, _ANSWER = "an order to store chunks", "the answer to an order"


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Store these chunks of the state of `step`."""

    step: int
    before: int | None
    """Step of the state that chunks may be predicted from."""
    generation: int
    """For the names of packs."""
    chunks: Collection[ChunkId]
    chains: Mapping[ChunkId, Chain]
    """Of what they may be predicted from."""

    def to_bytes(self) -> bytes:
        """The message."""
        return canonical.dumps(
            {
                "before": self.before,
                "chains": chains_to_json(self.chains),
                "chunks": list(self.chunks),
                "generation": self.generation,
                "step": self.step,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of `to_bytes`. Raises Damaged."""
        names = ("before", "chains", "chunks", "generation", "step")
        got = fields.Fields(canonical.loads(data, _ORDER), _ORDER, names)
        return cls(
            step=got.count("step"),
            before=None if got.value["before"] is None else got.count("before"),
            generation=got.count("generation"),
            chunks=[fields.text(chunk, _ORDER) for chunk in got.items("chunks")],
            chains=chains_from_json(got.mapping("chains"), _ORDER),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What has become of an order. Chunks that it does not name were not stored."""

    stored: Stored = field(default_factory=lambda: Stored({}, {}))
    error: str = ""
    """Why none were, if something failed."""
    outage: bool = False
    """The error is that the bucket does not answer."""
    mistake: bool = False
    """The error is one that the user can mend."""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """That an order failed."""
        mistake = isinstance(error, UserError)
        outage = is_outage(error)
        told = str(error) if mistake or outage else "".join(traceback.format_exception(error))
        return cls(error=told or type(error).__name__, outage=outage, mistake=mistake)

    def to_bytes(self) -> bytes:
        """The message."""
        return canonical.dumps(
            {
                "error": self.error,
                "locations": [_entry(chunk, at) for chunk, at in self.stored.locations.items()],
                "mistake": self.mistake,
                "outage": self.outage,
                "packs": [[name, size] for name, size in self.stored.packs.items()],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of `to_bytes`. Raises Damaged."""
        names = ("error", "locations", "mistake", "outage", "packs")
        got = fields.Fields(canonical.loads(data, _ANSWER), _ANSWER, names)
        packs = dict(fields.sized_name(pack, _ANSWER, PACK_LIMIT) for pack in got.items("packs"))
        return cls(
            stored=Stored(dict(map(_located, got.items("locations"))), packs),
            error=got.text("error", len(data)),
            outage=got.flag("outage"),
            mistake=got.flag("mistake"),
        )


def chains_to_json(chains: Mapping[ChunkId, Chain]) -> dict[str, Any]:
    """For a message."""
    return {chunk: [chain.links, chain.read_bytes] for chunk, chain in chains.items()}


def chains_from_json(value: Mapping[str, Any], what: str) -> dict[ChunkId, Chain]:
    """Inverse of `chains_to_json`. Raises Damaged."""
    found = {}
    for chunk, chain in value.items():
        links, read_bytes = fields.items(chain, what, 2)
        found[chunk] = Chain(
            fields.count(links, what, DEPTH_LIMIT), fields.count(read_bytes, what, COUNT_LIMIT)
        )
    return found


def _entry(chunk: ChunkId, at: Location) -> list[Any]:
    scalars = [scalar_bits(value) for value in at.scalars]
    return [chunk, at.pack, at.offset, at.size, at.codec, list(at.bases), scalars]


def _located(entry: Any) -> tuple[ChunkId, Location]:
    chunk, pack, offset, size, codec, bases, scalars = fields.items(entry, _ANSWER, 7)
    return fields.text(chunk, _ANSWER), Location(
        fields.text(pack, _ANSWER),
        fields.count(offset, _ANSWER, PACK_LIMIT),
        fields.count(size, _ANSWER, PACK_LIMIT),
        fields.text(codec, _ANSWER),
        tuple(fields.text(base, _ANSWER) for base in fields.items(bases, _ANSWER)),
        tuple(scalar_value(bits, _ANSWER) for bits in fields.items(scalars, _ANSWER)),
    )
