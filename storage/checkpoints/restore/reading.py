"""Read tensors of a manifest back into memory."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from storage.checkpoints.codecs.loops import Bytes
from storage.checkpoints.errors import CommitMissing, Damaged, TooLarge
from storage.checkpoints.format.chunks import ChunkId, cut
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.store import Below
from storage.checkpoints.format.stored_tensor import StoredTensor
from storage.checkpoints.restore.decoding import Decoded, Decoder
from storage.checkpoints.tensor import Buffer, Tensor
from storage.host_memory import memory


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk's raw bytes belong."""

    tensor: str
    begin: int
    size: int


def read_tensors(
    files: Below, manifest: Manifest, names: Collection[str] | None, what: str
) -> tuple[dict[str, Tensor], int]:
    """The tensors of these names (None: all), in order of name, and the bytes of packs that were fetched.

    Raises:
        CommitMissing: a name that the commit does not have.
        Damaged: a pack is missing or cut short, or a chunk is not what its id says.
        TooLarge: more than this host's memory.
    """
    tensors = chosen(manifest, names, what)
    total, allowed = sum(tensor.nbytes for tensor in tensors.values()), memory().total
    if total > allowed:
        raise TooLarge(f"{what} takes {total} bytes, this host has {allowed}; restore fewer tensors by name")
    buffers = {name: _memory_for(tensor) for name, tensor in tensors.items()}
    decoder = Decoder(files, manifest.locations, manifest.identity)
    places = places_of(tensors)
    targets = {chunk: _part(buffers, first) for chunk, (first, *_) in places.items()}
    for found in _sound(decoder.decode(kinds_of(tensors, places), targets), what):
        for place in places[found.chunk][1:]:
            _part(buffers, place)[:] = targets[found.chunk]
    read = {
        name: Tensor(tensor.dtype, tensor.shape, buffers[name].data, tensor.block_rows)
        for name, tensor in tensors.items()
    }
    return read, decoder.read_bytes


def chosen(manifest: Manifest, names: Collection[str] | None, what: str) -> dict[str, StoredTensor]:
    """The tensors of these names (None: all), in order of name. Raises CommitMissing."""
    wanted = sorted(manifest.tensors) if names is None else sorted(names)
    for name in wanted:
        if name not in manifest.tensors:
            known = ", ".join(sorted(manifest.tensors)[:20])
            raise CommitMissing(f"{what} has no tensor {name!r}; it has {known}")
    return {name: manifest.tensors[name] for name in wanted}


def read_pieces(
    decoder: Decoder, tensors: Mapping[str, StoredTensor], what: str
) -> Iterator[tuple[Place, Buffer]]:
    """The bytes of tensors that are not inlined, chunk by chunk in any order: little is held at a time.

    Raises:
        Damaged: a pack is missing or cut short, or a chunk is not what its id says.
    """
    places = places_of(tensors)
    for found in _sound(decoder.decode(kinds_of(tensors, places)), what):
        for place in places[found.chunk]:
            yield place, found.raw


def _sound(decoded: Iterable[Decoded], what: str) -> Iterator[Decoded]:
    for found in decoded:
        if found.trouble is not None:
            raise Damaged(f"{what}: {found.trouble}") from found.trouble
        yield found


def _memory_for(tensor: StoredTensor) -> Bytes:
    """Of its own, which nobody has touched yet: it is written once, by the threads that decode."""
    if tensor.inline is not None:
        return np.frombuffer(bytearray(tensor.inline), np.uint8)
    return np.empty(tensor.nbytes, np.uint8)


def _part(buffers: Mapping[str, Bytes], place: Place) -> Bytes:
    return buffers[place.tensor][place.begin : place.begin + place.size]


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


def kinds_of(
    tensors: Mapping[str, StoredTensor], places: Mapping[ChunkId, list[Place]]
) -> dict[ChunkId, tuple[str, int]]:
    """Dtype and raw bytes of each chunk."""
    return {chunk: (tensors[first.tensor].dtype, first.size) for chunk, (first, *_) in places.items()}
