"""Raw bytes of stored chunks: ranges of packs, decoded with what they are predicted from, checked by hash.

Works through batches of families of chunks that rest on each other. Each chunk is decoded as soon as its
bytes and what it is predicted from are there, while the next bytes are fetched: so it holds a bounded part of
a commit however large that is, asks for few ranges, and keeps network and cores busy at once.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import MappingProxyType

import numpy as np

from storage.checkpoints.codecs import decode_into
from storage.checkpoints.codecs.loops import Bytes
from storage.checkpoints.errors import Damaged, TooLarge
from storage.checkpoints.format.chunks import ChunkId, bound, chunk_id
from storage.checkpoints.format.closure import families, levels, with_bases
from storage.checkpoints.format.identity import CLEAR, Identity
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.store import Below
from storage.checkpoints.restore.fetching import Fetched, Fetcher
from storage.checkpoints.restore.spans import COUNTED_SPAN, spans_of
from storage.checkpoints.tensor import Buffer
from storage.host_memory import memory

BATCH_BYTES = 64 * 2**20
"""Raw bytes of chunks and bases that are decoded in one go, unless one family is larger."""
_COUNTED_FROM, _COUNTED_TO = 2 * 2**20, 16 * 2**20

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
        batches = [
            _Batch(chunks, self.locations)
            for chunks in _batches(needed, self.locations, kinds, BATCH_BYTES, BATCH_BYTES)
        ]
        spans = ((span, batch.take) for batch in batches for span in spans_of(batch.locations))
        with (
            ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool,
            Fetcher(self.files, spans) as fetcher,
        ):
            try:
                for batch in batches:
                    yield from self._batch(batch, fetcher, wanted, kinds, targets, pool)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _batch(
        self,
        batch: "_Batch",
        fetcher: Fetcher,
        wanted: Collection[ChunkId],
        kinds: Kinds,
        targets: Mapping[ChunkId, Bytes],
        pool: ThreadPoolExecutor,
    ) -> Iterator[Decoded]:
        stored: dict[ChunkId, memoryview | Damaged] = {}
        raw: dict[ChunkId, memoryview] = {}

        def one(chunk: ChunkId) -> None:
            try:
                into = targets.get(chunk)
                into = np.empty(kinds[chunk][1], np.uint8) if into is None else into
                self._decode(chunk, stored.pop(chunk), raw, kinds[chunk][0], into)
            except BaseException as error:  # noqa: BLE001 - raised where the batch is awaited
                batch.happened.put(_Done(chunk, error))
            else:
                batch.happened.put(_Done(chunk, into.data))

        def has_more(chunk: ChunkId) -> None:
            batch.lacks[chunk] -= 1
            if not batch.lacks[chunk]:
                pool.submit(one, chunk)

        left = len(batch.chunks)
        while left:
            it = batch.happened.get()
            if isinstance(it.outcome, BaseException) and not isinstance(it.outcome, Damaged):
                raise it.outcome
            if isinstance(it, _Arrived):
                self.read_bytes += it.size
                fetcher.has_done_with(it.size)
                stored[it.chunk] = it.outcome
                has_more(it.chunk)
                continue
            left -= 1
            chunk, outcome = it.chunk, it.outcome
            if not isinstance(outcome, Damaged) and batch.needed[chunk]:
                raw[chunk] = outcome
            for follower in batch.followers[chunk]:
                has_more(follower)
            for base in _done_with([chunk], batch.needed, self.locations):
                raw.pop(base, None)
            if chunk in wanted:
                if isinstance(outcome, Damaged):
                    yield Decoded(chunk, b"", outcome)
                else:
                    yield Decoded(chunk, outcome.toreadonly())

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


@dataclass(frozen=True, slots=True)
class _Arrived:
    """Stored bytes of a chunk are here, with `size` bytes of their span."""

    chunk: ChunkId
    outcome: Fetched
    size: int


@dataclass(frozen=True, slots=True)
class _Done:
    """A chunk was decoded, or cannot be."""

    chunk: ChunkId
    outcome: memoryview | BaseException


class _Batch:
    """Chunks that are decoded in one go, and what has happened to them."""

    def __init__(self, chunks: list[ChunkId], locations: Mapping[ChunkId, Location]) -> None:
        self.chunks = chunks
        self.locations = {chunk: locations[chunk] for chunk in chunks}
        self.needed = _uses(chunks, locations)
        """How many chunks are still to be predicted from each."""
        self.lacks = {chunk: 1 + len(set(locations[chunk].bases)) for chunk in chunks}
        """Its own bytes, and those of bases."""
        self.followers: dict[ChunkId, list[ChunkId]] = defaultdict(list)
        for chunk in chunks:
            for base in set(locations[chunk].bases):
                self.followers[base].append(chunk)
        self.happened: SimpleQueue[_Arrived | _Done] = SimpleQueue()

    def take(self, chunk: ChunkId, stored: Fetched, size: int) -> None:
        """See `Take`."""
        self.happened.put(_Arrived(chunk, stored, size))


def bytes_to_read(wanted: Kinds, locations: Mapping[ChunkId, Location]) -> int:
    """About what `Decoder.decode` fetches, with what lies between chunks. Raises TooLarge.

    Saves decide by it what they may rest on: so it is counted as it always was, in small batches, which makes
    it a little more than what is fetched.
    """
    needed = with_bases(wanted, locations)
    batches = _batches(needed, locations, with_kinds(wanted, needed), _COUNTED_FROM, _COUNTED_TO)
    return sum(
        span.size for batch in batches for span in spans_of({it: locations[it] for it in batch}, COUNTED_SPAN)
    )


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
    needed: Mapping[ChunkId, Location],
    locations: Mapping[ChunkId, Location],
    kinds: Kinds,
    first: int,
    most: int,
) -> Iterator[list[ChunkId]]:
    """Families that fit together, into `first` bytes, then twice as many, … Raises TooLarge."""
    batch: list[ChunkId] = []
    filled, limit, allowed = 0, first, memory().total
    for family in families({chunk: at.bases for chunk, at in needed.items()}):
        _refuse_too_large(levels(family, locations), _uses(family, locations), locations, kinds, allowed)
        size = sum(kinds[chunk][1] for chunk in family)
        if batch and filled + size > limit:
            yield batch
            batch, filled, limit = [], 0, min(2 * limit, most)
        batch += family
        filled += size
    if batch:
        yield batch
