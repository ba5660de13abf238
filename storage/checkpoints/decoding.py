"""Raw bytes of stored chunks: ranges of packs, decoded with what they are predicted from, checked by hash.

Works through families of chunks that rest on each other, some at a time, and fetches the next ones meanwhile:
so it holds a bounded part of a commit however large that is, and network and cores are busy at once.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from storage.checkpoints.chunks import ChunkId, chunk_id
from storage.checkpoints.closure import families, levels, with_bases
from storage.checkpoints.codecs import decode_into
from storage.checkpoints.codecs.loops import Bytes
from storage.checkpoints.errors import Damaged, TooLarge
from storage.checkpoints.identity import CLEAR, Identity
from storage.checkpoints.locations import Location
from storage.checkpoints.names import pack_key
from storage.checkpoints.packs import bound, in_order
from storage.checkpoints.spans import Span, spans_of
from storage.checkpoints.store import Below
from storage.checkpoints.tensor import Buffer
from storage.host_memory import memory
from storage.objects import NotFound, Truncated

BATCH_BYTES = 16 * 2**20
"""Raw bytes of chunks and bases that are decoded in one go, unless one family is larger."""
_FIRST_BATCH_BYTES = 2 * 2**20
"""Each batch may be twice as large as the one before: cores are busy early, and requests few."""
AHEAD = 2
"""Batches that are fetched while one is decoded."""

Kinds = Mapping[ChunkId, tuple[str, int]]
"""Dtype and raw bytes of chunks."""
_NOWHERE: Mapping[ChunkId, Bytes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Decoded:
    """One chunk that was asked for."""

    chunk: ChunkId
    raw: Buffer
    """Empty if it is damaged."""
    trouble: Damaged | None = None


@dataclass(slots=True)
class Decoder:
    """Decodes chunks of one manifest."""

    files: Below
    locations: Mapping[ChunkId, Location]
    """Bases come first."""
    identity: Identity = CLEAR
    read_bytes: int = 0
    """Fetched so far."""
    _threads: int = field(default_factory=lambda: min(4, os.cpu_count() or 1))

    def decode(self, wanted: Kinds, targets: Mapping[ChunkId, Bytes] = _NOWHERE) -> Iterator[Decoded]:
        """Each wanted chunk once, in any order; what rests on a damaged chunk is damaged too.

        Args:
            wanted: what to decode.
            targets: memory of the caller, to which the bytes of these chunks go at once: it must stay as it
                is until the end, as other chunks are predicted from it.
        """
        needed = with_bases(wanted, self.locations)
        kinds = with_kinds(wanted, needed)
        batches = _batches(needed, self.locations, kinds)
        with ThreadPoolExecutor(self._threads) as pool, ThreadPoolExecutor(AHEAD) as fetchers:
            for batch, (stored, size) in in_order(fetchers, self._fetch, batches, ahead=AHEAD + 1):
                self.read_bytes += size
                yield from self._batch(batch, stored, wanted, kinds, targets, pool)

    def _batch(
        self,
        chunks: list[ChunkId],
        stored: "dict[ChunkId, memoryview | Damaged]",
        wanted: Collection[ChunkId],
        kinds: Kinds,
        targets: Mapping[ChunkId, Bytes],
        pool: ThreadPoolExecutor,
    ) -> Iterator[Decoded]:
        order = levels(chunks, self.locations)
        needed = _uses(chunks, self.locations)
        raw: dict[ChunkId, memoryview] = {}

        def one(chunk: ChunkId) -> memoryview | Damaged:
            try:
                into = targets.get(chunk)
                into = np.empty(kinds[chunk][1], np.uint8) if into is None else into
                self._decode(chunk, stored.pop(chunk), raw, kinds[chunk][0], into)
            except Damaged as error:
                return error
            return into.data

        for level in order:
            for chunk, outcome in zip(level, list(pool.map(one, level)), strict=True):
                found = (
                    Decoded(chunk, b"", outcome)
                    if isinstance(outcome, Damaged)
                    else Decoded(chunk, outcome.toreadonly())
                )
                if not isinstance(outcome, Damaged) and needed[chunk]:
                    raw[chunk] = outcome
                if chunk in wanted:
                    yield found
            for chunk in _done_with(level, needed, self.locations):
                raw.pop(chunk, None)

    def _decode(
        self,
        chunk: ChunkId,
        stored: memoryview | Damaged,
        raw: Mapping[ChunkId, memoryview],
        dtype: str,
        into: Bytes,
    ) -> None:
        if isinstance(stored, Damaged):
            raise stored
        at = self.locations[chunk]
        if any(base not in raw for base in at.bases):
            raise Damaged(f"pack {at.pack}, bytes from {at.offset} on: rests on a chunk that is damaged")
        bases = tuple(raw[base] for base in at.bases)
        where = f"pack {at.pack}, bytes from {at.offset} on"
        plain = self.identity.open(stored, bound(chunk, at.codec), where)
        decode_into(at.codec, dtype, plain, into, bases, at.scalars)
        if chunk_id(dtype, into.data, self.identity) != chunk:
            raise Damaged(f"pack {at.pack}, bytes from {at.offset} on: not what their hash says")

    def _fetch(
        self, chunks: list[ChunkId]
    ) -> "tuple[list[ChunkId], tuple[dict[ChunkId, memoryview | Damaged], int]]":
        """The chunks; stored bytes of each, or why there are none; and how many bytes were read."""
        spans = list(spans_of({chunk: self.locations[chunk] for chunk in chunks}))
        found: dict[ChunkId, memoryview | Damaged] = {}
        for span, data in zip(spans, _ranges(self.files, spans), strict=True):
            sparse = 2 * sum(at.size for _, at in span.chunks) < span.end - span.begin
            for chunk, at in span.chunks:
                if isinstance(data, Damaged):
                    found[chunk] = data
                    continue
                part = data[at.offset - span.begin : at.offset - span.begin + at.size]
                found[chunk] = memoryview(bytes(part)) if sparse else part  # gaps must not pile up in memory
        return chunks, (found, sum(span.end - span.begin for span in spans))


def bytes_to_read(wanted: Kinds, locations: Mapping[ChunkId, Location]) -> int:
    """That `Decoder.decode` fetches, with what lies between chunks. Raises TooLarge."""
    needed = with_bases(wanted, locations)
    batches = _batches(needed, locations, with_kinds(wanted, needed))
    return sum(
        span.end - span.begin for batch in batches for span in spans_of({it: locations[it] for it in batch})
    )


def _ranges(files: Below, spans: list[Span]) -> Iterator[memoryview | Damaged]:
    """What each span holds. After one that cannot be read, the next ones are asked for anew."""
    at = 0
    while at < len(spans):
        wanted = [(pack_key(it.pack), it.begin, it.end - it.begin) for it in spans[at:]]
        try:
            for data in files.get_ranges(wanted):
                at += 1
                yield memoryview(data)
        except (NotFound, Truncated) as error:
            at += 1
            yield Damaged(f"a pack is missing or cut short: {error}")


def _done_with(
    level: list[ChunkId], needed: Counter[ChunkId], locations: Mapping[ChunkId, Location]
) -> list[ChunkId]:
    """Bases that nothing needs any more once a level is decoded; `needed` counts down."""
    bases = [base for chunk in level for base in locations[chunk].bases]
    needed.subtract(bases)
    return [base for base in dict.fromkeys(bases) if not needed[base]]


def _refuse_too_large(
    order: list[list[ChunkId]],
    needed: Counter[ChunkId],
    locations: Mapping[ChunkId, Location],
    kinds: Kinds,
    allowed: int,
) -> None:
    """Raise TooLarge before a hostile commit, whose chunks rest on very many others, exhausts this host."""
    left, held, most = Counter(needed), 0, 0
    for level in order:
        held += sum(kinds[chunk][1] for chunk in level)
        most = max(most, held)
        held -= sum(kinds[chunk][1] for chunk in level if not left[chunk])
        held -= sum(kinds[chunk][1] for chunk in _done_with(level, left, locations))
    if most > allowed:
        raise TooLarge(
            f"chunks that rest on each other take {most} bytes at once, this host has {allowed}; the"
            " commit was not written by this program, or needs a larger host"
        )


def with_kinds(wanted: Kinds, needed: Mapping[ChunkId, Location]) -> dict[ChunkId, tuple[str, int]]:
    """Dtype and raw bytes of all needed chunks: a base is as what is predicted from it."""
    kinds = dict(wanted)
    for chunk in reversed(tuple(needed)):
        for base in needed[chunk].bases:
            kinds[base] = kinds[chunk]
    return kinds


def _uses(chunks: Iterable[ChunkId], locations: Mapping[ChunkId, Location]) -> Counter[ChunkId]:
    """How many of `chunks` are predicted from each."""
    return Counter(base for chunk in chunks for base in locations[chunk].bases)


def _batches(
    needed: Mapping[ChunkId, Location], locations: Mapping[ChunkId, Location], kinds: Kinds
) -> Iterator[list[ChunkId]]:
    """Families that fit together. Raises TooLarge."""
    batch: list[ChunkId] = []
    filled, limit, allowed = 0, min(_FIRST_BATCH_BYTES, BATCH_BYTES), memory().total
    for family in families({chunk: at.bases for chunk, at in needed.items()}):
        _refuse_too_large(levels(family, locations), _uses(family, locations), locations, kinds, allowed)
        size = sum(kinds[chunk][1] for chunk in family)
        if batch and filled + size > limit:
            yield batch
            batch, filled, limit = [], 0, min(2 * limit, BATCH_BYTES)
        batch += family
        filled += size
    if batch:
        yield batch
