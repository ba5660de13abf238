"""What the leader and the other ranks tell each other, as canonical JSON: nothing is pickled."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from storage.checkpoints.format import canonical, fields
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.closure import Chain
from storage.checkpoints.sharded.boxes import Box
from storage.checkpoints.sharded.layout import Held, Told
from storage.checkpoints.sharded.share import Place
from storage.checkpoints.together.orders import Answer, chains_from_json, chains_to_json

_WHAT = "a message of a rank"


@dataclass(frozen=True, slots=True)
class Report:
    """First, from each rank: what it holds."""

    tensors: Mapping[str, Held]
    """With its own boxes only, each under rank 0."""
    values: Mapping[str, Any]
    """JSON-able, for the leader's meta."""
    error: str = ""
    """Why it cannot take part."""

    def to_bytes(self) -> bytes:
        """The message. Raises ValueError: values that JSON cannot hold."""
        tensors = {
            name: [it.dtype, list(it.shape), [_box_json(box) for _, box in it.boxes]]
            for name, it in self.tensors.items()
        }
        return canonical.dumps({"error": self.error, "tensors": tensors, "values": dict(self.values)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of `to_bytes`. Raises Damaged."""
        got = fields.Fields(canonical.loads(data, _WHAT), _WHAT, ("error", "tensors", "values"))
        tensors = {}
        for name, entry in got.mapping("tensors").items():
            dtype, shape, boxes = fields.items(entry, _WHAT, 3)
            tensors[name] = Held(
                fields.text(dtype, _WHAT),
                _counts(shape),
                [(0, _box(it)) for it in fields.items(boxes, _WHAT)],
            )
        return cls(tensors, got.mapping("values"), got.text("error", len(data)))


@dataclass(frozen=True, slots=True)
class Plan:
    """Second, to each rank: what it must know of the others."""

    tensors: Mapping[str, Told] = field(default_factory=dict)
    error: str = ""
    """Why nothing is saved."""

    def to_bytes(self) -> bytes:
        """The message."""
        tensors = {
            name: [
                told.begin,
                [[number, owner] for number, owner in told.owners.items()],
                [
                    [number, [[rank, *_box_json(box)] for rank, box in holders]]
                    for number, holders in told.holders.items()
                ],
            ]
            for name, told in self.tensors.items()
        }
        return canonical.dumps({"error": self.error, "tensors": tensors})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of `to_bytes`. Raises Damaged."""
        got = fields.Fields(canonical.loads(data, _WHAT), _WHAT, ("error", "tensors"))
        return cls(
            {name: _told(it) for name, it in got.mapping("tensors").items()}, got.text("error", len(data))
        )


@dataclass(frozen=True, slots=True)
class Hashes:
    """Third, from each rank: the chunks that it owns."""

    chunks: Mapping[Place, ChunkId] = field(default_factory=dict)
    inline: Mapping[str, bytes] = field(default_factory=dict)
    """Bytes of small tensors."""
    error: str = ""
    """Why it does not know them."""

    def to_bytes(self) -> bytes:
        """The message."""
        return canonical.dumps(
            {
                "chunks": [[*place, chunk] for place, chunk in self.chunks.items()],
                "error": self.error,
                "inline": {name: base64.b64encode(raw).decode() for name, raw in self.inline.items()},
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of `to_bytes`. Raises Damaged."""
        got = fields.Fields(canonical.loads(data, _WHAT), _WHAT, ("chunks", "error", "inline"))
        chunks = {}
        for entry in got.items("chunks"):
            name, number, chunk = fields.items(entry, _WHAT, 3)
            place = fields.text(name, _WHAT), fields.count(number, _WHAT)
            chunks[place] = fields.text(chunk, _WHAT)
        inline = {name: base64.b64decode(text) for name, text in got.mapping("inline").items()}
        return cls(chunks, inline, got.text("error", len(data)))


@dataclass(frozen=True, slots=True)
class Order:
    """Then, to each rank, as often as needed: store those of these chunks that it owns, give the others."""

    generation: int
    """For the names of packs."""
    places: Sequence[Place]
    """Chunks of which the rank may hold some."""
    chains: Mapping[ChunkId, Chain]
    """Of what they may be predicted from."""

    def to_bytes(self) -> bytes:
        """The message."""
        places: dict[str, list[int]] = {}
        for name, number in self.places:
            places.setdefault(name, []).append(number)
        chains = chains_to_json(self.chains)
        return canonical.dumps({"chains": chains, "generation": self.generation, "places": places})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of `to_bytes`. Raises Damaged."""
        got = fields.Fields(canonical.loads(data, _WHAT), _WHAT, ("chains", "generation", "places"))
        places = [(name, number) for name, them in got.mapping("places").items() for number in _counts(them)]
        return cls(got.count("generation"), places, chains_from_json(got.mapping("chains"), _WHAT))


def _box_json(box: Box) -> list[list[int]]:
    return [list(box.offsets), list(box.sizes)]


def _box(value: Any) -> Box:
    offsets, sizes = fields.items(value, _WHAT, 2)
    return Box(_counts(offsets), _counts(sizes))


def _counts(value: Any) -> tuple[int, ...]:
    return tuple(fields.count(it, _WHAT) for it in fields.items(value, _WHAT))


def _told(value: Any) -> Told:
    begin, owners, holders = fields.items(value, _WHAT, 3)
    owned: dict[int, int] = {}
    for entry in fields.items(owners, _WHAT):
        number, owner = _counts(entry)
        owned[number] = owner
    held = {}
    for entry in fields.items(holders, _WHAT):
        number, those = fields.items(entry, _WHAT, 2)
        held[fields.count(number, _WHAT)] = tuple(
            (fields.count(rank, _WHAT), _box([offsets, sizes]))
            for rank, offsets, sizes in (fields.items(it, _WHAT, 3) for it in fields.items(those, _WHAT))
        )
    return Told(fields.count(begin, _WHAT), owned, held)


def said(error: BaseException) -> str:
    """What another rank is told of an error: its words, or its traceback where it is a fault of ours."""
    return Answer.of(error).error if isinstance(error, Exception) else repr(error)
