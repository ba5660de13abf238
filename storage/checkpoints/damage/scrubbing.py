"""Read stored chunks and check every byte against its hash.

A chunk that many commits name is looked at once (again where more than `REMEMBERED` others came between), and
read again where another chunk is predicted from it.
Memory: `REMEMBERED` numbers, 70 MB, and what `Decoder` holds at a time.
"""

from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.restore.decoding import Decoder, with_kinds
from storage.checkpoints.restore.reading import kinds_of, places_of

REMEMBERED = 1_000_000


class Scrubber:
    """Checks the bytes of one commit after the other."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.chunks = self.bytes_read = 0
        self.checked: set[int] = set()

    def wrong_chunks(self, manifest: Manifest) -> list[str]:
        """Read what was not read for another commit, and check it."""
        places = places_of(manifest.tensors)
        kinds = with_kinds(kinds_of(manifest.tensors, places), manifest.locations)
        new = {it: kinds[it] for it, at in manifest.locations.items() if self.is_new(it, at)}
        decoder = Decoder(self.shelf.files, manifest.locations, manifest.identity)
        troubles = []
        for found in decoder.decode(new):
            self.chunks += 1
            if found.trouble is not None:
                self.checked.discard(_number(found.chunk, manifest.locations[found.chunk]))
                name = places[found.chunk][0].tensor if found.chunk in places else None
                where = "a chunk that others are predicted from" if name is None else f"tensor {name!r}"
                troubles.append(f"{where}: stored chunk: {found.trouble}")
        self.bytes_read += decoder.read_bytes
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


def _number(chunk: ChunkId, at: Location) -> int:
    """64 bits for a chunk at a place: that two share them is less likely than 10^-7, and costs one look."""
    return hash((chunk, at))
