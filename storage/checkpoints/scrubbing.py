"""Read stored chunks and check every byte against its hash.

A chunk that many commits name is read once (again where more than `REMEMBERED` others came between).
Memory: `REMEMBERED` numbers, 70 MB, and at most 128 MiB of packs.
"""

from concurrent.futures import ThreadPoolExecutor

from storage.checkpoints.chunks import ChunkId
from storage.checkpoints.errors import Damaged
from storage.checkpoints.manifest import Location, Manifest
from storage.checkpoints.names import pack_key
from storage.checkpoints.packs import in_order
from storage.checkpoints.reading import Span, checked_chunk, places_of, spans_of
from storage.checkpoints.shelf import Shelf
from storage.objects import NotFound, Truncated

REMEMBERED = 1_000_000
_THREADS = 8


class Scrubber:
    """Checks the bytes of one commit after the other."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.chunks = self.bytes_read = 0
        self.checked: set[int] = set()

    def wrong_chunks(self, manifest: Manifest) -> list[str]:
        """Read what was not read for another commit, and check it."""
        places = places_of(manifest.tensors)
        unread = {it: at for it, at in manifest.locations.items() if self.is_new(it, at) and it in places}
        raw = {it: (manifest.tensors[at[0].tensor].dtype, at[0].size) for it, at in places.items()}
        names = {it: at[0].tensor for it, at in places.items()}
        troubles = []
        with ThreadPoolExecutor(_THREADS) as pool:
            for span, wrong in in_order(
                pool, lambda span: (span, self.read_span(span, raw)), spans_of(unread), ahead=2 * _THREADS
            ):
                self.chunks += len(span.chunks)
                self.bytes_read += span.end - span.begin
                self.checked.difference_update(_number(it, at) for it, at in span.chunks if it in wrong)
                troubles += [f"tensor {names[it]!r}: {why}" for it, why in wrong.items()]
        return troubles

    def is_new(self, chunk: ChunkId, at: Location) -> bool:
        """Whether this chunk's bytes at this place were not looked at yet; from now on they count as such."""
        number = _number(chunk, at)
        if number in self.checked:
            return False
        if len(self.checked) >= REMEMBERED:
            self.checked.clear()
        self.checked.add(number)
        return True

    def read_span(self, span: Span, raw: dict[ChunkId, tuple[str, int]]) -> dict[ChunkId, str]:
        """What is wrong with chunks of a span, by chunk."""
        try:
            stored = self.shelf.files.get_range(pack_key(span.pack), span.begin, span.end - span.begin)
        except (NotFound, Truncated) as error:
            return {chunk: str(error) for chunk, _ in span.chunks}
        wrong = {}
        for chunk, at in span.chunks:
            try:
                checked_chunk(span, stored, chunk, at, *raw[chunk], "stored chunk")
            except Damaged as error:
                wrong[chunk] = str(error)
        return wrong


def _number(chunk: ChunkId, at: Location) -> int:
    """64 bits for a chunk at a place: that two share them is less likely than 10^-7, and costs one look."""
    return hash((chunk, at.pack, at.offset, at.size, at.codec))
