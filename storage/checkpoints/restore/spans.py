"""Which ranges of packs are read for chunks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.locations import Location

SPAN_LIMIT = 16 * 2**20
"""Bytes of one request, unless a single chunk is larger."""
COUNTED_SPAN = 8 * 2**20
"""The same where a save counts what a restore would read, as it always was."""
GAP_LIMIT = 128 * 2**10
"""Unwanted bytes between two chunks that are read along: cheaper than another request."""


@dataclass(slots=True)
class Span:
    """Stored chunks of one pack that are read by one request."""

    pack: str
    begin: int
    end: int
    chunks: list[tuple[ChunkId, Location]]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.begin


def spans_of(locations: Mapping[ChunkId, Location], limit: int = SPAN_LIMIT) -> Iterator[Span]:
    """The requests that read these chunks; those of one lie behind one another."""
    span: Span | None = None
    for chunk, at in sorted(locations.items(), key=lambda item: (item[1].pack, item[1].offset)):
        end = at.offset + at.size
        if (
            span is not None
            and span.pack == at.pack
            and 0 <= at.offset - span.end <= GAP_LIMIT
            and end - span.begin <= limit
        ):
            span.end = max(span.end, end)
            span.chunks.append((chunk, at))
            continue
        if span is not None:
            yield span
        span = Span(at.pack, at.offset, end, [(chunk, at)])
    if span is not None:
        yield span
