"""Read only some rows of tensors: the shard of a rank, of a state that is too large for one."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from storage.checkpoints.errors import CommitMissing, Damaged, TooLarge
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.store import Below
from storage.checkpoints.restore.decoding import Decoder
from storage.checkpoints.restore.reading import kinds_of, places_of
from storage.checkpoints.tensor import Buffer, Tensor
from storage.host_memory import memory


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of one tensor's first axis; of a tensor without axes, all of it."""

    tensor: str
    begin: int = 0
    end: int | None = None
    """None: up to the last one."""


@dataclass(slots=True)
class _Part:
    """Rows on their way: `data` are bytes from `begin` on of the whole tensor."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int
    data: bytearray = field(init=False, repr=False)

    def fill(self, begin: int, raw: Buffer) -> None:
        """Take what is wanted of a chunk that begins there."""
        low, high = max(begin, self.begin), min(begin + len(raw), self.end)
        if low < high:
            self.data[low - self.begin : high - self.begin] = memoryview(raw)[low - begin : high - begin]


def read_rows(
    files: Below, manifest: Manifest, wanted: Sequence[Rows], what: str
) -> tuple[list[Tensor], int]:
    """What is wanted, in this order, and the bytes of packs that were fetched.

    Only chunks that hold some of it, and what they are predicted from, are read.

    Raises:
        CommitMissing: a tensor that the commit does not have.
        ValueError: rows that it does not have.
        Damaged, TooLarge: as `read_tensors`.
    """
    parts = [_part(manifest, rows, what) for rows in wanted]
    total, allowed = sum(part.end - part.begin for part in parts), memory().total
    if total > allowed:
        raise TooLarge(f"the wanted rows of {what} take {total} bytes, this host has {allowed}; read fewer")
    by_name: dict[str, list[_Part]] = defaultdict(list)
    for rows, part in zip(wanted, parts, strict=True):
        part.data = bytearray(part.end - part.begin)
        by_name[rows.tensor].append(part)
        inline = manifest.tensors[rows.tensor].inline
        if inline is not None:
            part.fill(0, inline)
    tensors = {name: manifest.tensors[name] for name in sorted(by_name)}
    places = places_of(tensors)
    kinds = kinds_of(tensors, places)
    needed: dict[ChunkId, tuple[str, int]] = {}
    for chunk, of_chunk in places.items():
        for place in of_chunk:
            end = place.begin + place.size
            if any(place.begin < part.end and part.begin < end for part in by_name[place.tensor]):
                needed[chunk] = kinds[chunk]
    decoder = Decoder(files, manifest.locations, manifest.identity)
    for found in decoder.decode(needed):
        if found.trouble is not None:
            raise Damaged(f"{what}: {found.trouble}") from found.trouble
        for place in places[found.chunk]:
            for part in by_name[place.tensor]:
                part.fill(place.begin, found.raw)
    return [Tensor(part.dtype, part.shape, part.data) for part in parts], decoder.read_bytes


def _part(manifest: Manifest, rows: Rows, what: str) -> _Part:
    if rows.tensor not in manifest.tensors:
        known = ", ".join(sorted(manifest.tensors)[:20])
        raise CommitMissing(f"{what} has no tensor {rows.tensor!r}; it has {known}")
    stored = manifest.tensors[rows.tensor]
    if not stored.shape:
        return _Part(stored.dtype, (), 0, stored.nbytes)
    count = stored.shape[0]
    end = count if rows.end is None else rows.end
    if not 0 <= rows.begin <= end <= count:
        raise ValueError(f"{rows.tensor!r} has {count} rows, and not those from {rows.begin} to {end}")
    row_bytes = stored.nbytes // count if count else 0
    shape = (end - rows.begin, *stored.shape[1:])
    return _Part(stored.dtype, shape, rows.begin * row_bytes, end * row_bytes)
