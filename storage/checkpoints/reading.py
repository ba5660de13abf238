"""Read tensors of a manifest back: coalesced ranges of packs, every chunk checked against its hash."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import psutil

from storage.checkpoints.chunks import ChunkId, chunk_id, cut
from storage.checkpoints.codecs import decode
from storage.checkpoints.errors import CommitMissing, Damaged, TooLarge
from storage.checkpoints.manifest import Location, Manifest, StoredTensor
from storage.checkpoints.names import pack_key
from storage.checkpoints.store import Below
from storage.checkpoints.tensor import Tensor
from storage.objects import NotFound, Truncated

SPAN_LIMIT = 8 * 2**20
"""Bytes of one request, unless a single chunk is larger."""
GAP_LIMIT = 128 * 2**10
"""Unwanted bytes between two chunks that are read along: cheaper than another request."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk's raw bytes belong."""

    tensor: str
    begin: int
    size: int


@dataclass(slots=True)
class Span:
    """Stored chunks of one pack that are read by one request."""

    pack: str
    begin: int
    end: int
    chunks: list[tuple[ChunkId, Location]]


def read_tensors(
    files: Below, manifest: Manifest, names: Collection[str] | None, what: str
) -> dict[str, Tensor]:
    """The tensors of these names (None: all), in order of name.

    Raises:
        CommitMissing: a name that the commit does not have.
        Damaged: a pack is missing or cut short, or a chunk is not what its id says.
        TooLarge: more than this host's memory.
    """
    wanted = sorted(manifest.tensors) if names is None else sorted(names)
    for name in wanted:
        if name not in manifest.tensors:
            known = ", ".join(sorted(manifest.tensors)[:20])
            raise CommitMissing(f"{what} has no tensor {name!r}; it has {known}")
    tensors = {name: manifest.tensors[name] for name in wanted}
    total, memory = sum(tensor.nbytes for tensor in tensors.values()), psutil.virtual_memory().total
    if total > memory:
        raise TooLarge(f"{what} takes {total} bytes, this host has {memory}; restore fewer tensors by name")
    buffers = {
        name: bytearray(tensor.nbytes if tensor.inline is None else tensor.inline)
        for name, tensor in tensors.items()
    }
    _fill(files, manifest, tensors, buffers, what)
    return {
        name: Tensor(tensor.dtype, tensor.shape, buffers[name], tensor.block_rows)
        for name, tensor in tensors.items()
    }


def _fill(
    files: Below,
    manifest: Manifest,
    tensors: Mapping[str, StoredTensor],
    buffers: Mapping[str, bytearray],
    what: str,
) -> None:
    places = places_of(tensors)
    spans = list(spans_of({chunk: manifest.locations[chunk] for chunk in places}))
    data = files.get_ranges([(pack_key(span.pack), span.begin, span.end - span.begin) for span in spans])
    for span in spans:
        try:
            stored = next(data)
        except (NotFound, Truncated) as error:
            raise Damaged(f"{what}: a pack is missing or cut short: {error}") from error
        for chunk, at in span.chunks:
            first = places[chunk][0]
            raw = checked_chunk(span, stored, chunk, at, tensors[first.tensor].dtype, first.size, what)
            for place in places[chunk]:
                buffers[place.tensor][place.begin : place.begin + place.size] = raw


def checked_chunk(
    span: Span, stored: bytes, chunk: ChunkId, at: Location, dtype: str, size: int, what: str
) -> bytes:
    """The raw bytes of one chunk of a span that was read. Raises Damaged: they are not what its id says."""
    begin = at.offset - span.begin
    raw = decode(at.codec, dtype, stored[begin : begin + at.size], size)
    if chunk_id(dtype, raw) != chunk:
        raise Damaged(f"{what}: pack {at.pack}, bytes from {at.offset} on: not what their hash says")
    return raw


def places_of(tensors: Mapping[str, StoredTensor]) -> dict[ChunkId, list[Place]]:
    """Where each chunk belongs; a manifest has checked that its dtype and size are the same everywhere."""
    places: dict[ChunkId, list[Place]] = defaultdict(list)
    for name, tensor in tensors.items():
        if tensor.inline is not None:
            continue
        begin = 0
        for chunk, size in zip(
            tensor.chunks, cut(tensor.dtype, tensor.shape, tensor.block_rows), strict=True
        ):
            places[chunk].append(Place(name, begin, size))
            begin += size
    return places


def spans_of(locations: Mapping[ChunkId, Location]) -> Iterator[Span]:
    """The requests that read these chunks."""
    span: Span | None = None
    for chunk, at in sorted(locations.items(), key=lambda item: (item[1].pack, item[1].offset)):
        end = at.offset + at.size
        if (
            span is not None
            and span.pack == at.pack
            and at.offset - span.end <= GAP_LIMIT
            and end - span.begin <= SPAN_LIMIT
        ):
            span.end = max(span.end, end)
            span.chunks.append((chunk, at))
            continue
        if span is not None:
            yield span
        span = Span(at.pack, at.offset, end, [(chunk, at)])
    if span is not None:
        yield span
