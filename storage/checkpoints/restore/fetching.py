"""Fetch ranges of packs ahead of whoever decodes them, a bounded number of bytes at once.

What a range holds is handed on chunk by chunk, while the rest of it is still on its way.
"""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.names import pack_key
from storage.checkpoints.format.store import Below
from storage.checkpoints.restore.spans import Span
from storage.objects import NotFound, Truncated

AHEAD_BYTES = 48 * 2**20
"""That are under way or wait to be decoded, beside a single span that is larger."""
_THREADS = 8

Fetched = memoryview | Damaged | BaseException
"""A chunk's stored bytes, or why they cannot be read; an exception ends the whole restore."""
Take = Callable[[ChunkId, Fetched, int], None]
"""Gets a chunk's bytes, in any thread, and how many bytes of its span came with them."""


class Fetcher:
    """Fetches spans in this order. Leave the context to end its threads."""

    def __init__(self, files: Below, spans: Iterable[tuple[Span, Take]]) -> None:
        """`spans`, each with who takes its chunks. One thread may use a fetcher."""
        self._files, self._left = files, deque(spans)
        self._ahead, self._ended = 0, False
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch-packs")

    def __enter__(self) -> Self:
        self.has_done_with(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._pool.shutdown(cancel_futures=True)

    def has_done_with(self, size: int) -> None:
        """So many bytes were handed on to be decoded: others may come."""
        self._ahead -= size
        while self._left and (not self._ahead or self._ahead + self._left[0][0].size <= AHEAD_BYTES):
            span, take = self._left.popleft()
            self._ahead += span.size
            self._pool.submit(self._read, span, take)

    def _read(self, span: Span, take: Take) -> None:
        """Hand on each chunk once, whatever happens."""
        lengths, at = list[int](), span.begin
        for _, location in span.chunks:
            lengths += [location.offset - at, location.size]
            at = location.offset + location.size
        sizes = [gap + size for gap, size in zip(lengths[::2], lengths[1::2], strict=True)]
        left = deque(zip((chunk for chunk, _ in span.chunks), sizes, strict=True))
        try:
            parts = self._files.get_parts(pack_key(span.pack), span.begin, lengths)
            for number, part in enumerate(parts):
                if self._ended:
                    return
                if number % 2:
                    chunk, size = left.popleft()
                    take(chunk, memoryview(part), size)
            if left:
                raise Truncated(f"{span.pack} ended {len(left)} chunks too early")
        except (NotFound, Truncated) as error:
            for chunk, size in left:
                take(chunk, Damaged(f"a pack is missing or cut short: {error}"), size)
        except BaseException as error:  # noqa: BLE001 - raised where the chunks are awaited
            for chunk, size in left:
                take(chunk, error, size)
