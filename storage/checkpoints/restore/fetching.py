"""Fetch ranges of packs ahead of whoever decodes them, a bounded number of bytes at once."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.names import pack_key
from storage.checkpoints.format.store import Below
from storage.checkpoints.restore.spans import Span
from storage.objects import NotFound, Truncated

AHEAD_BYTES = 48 * 2**20
"""That are under way or wait to be decoded, beside a single span that is larger."""
_THREADS = 8

Fetched = memoryview | Damaged
"""What a span holds, or why that cannot be read."""


def fetched(files: Below, spans: Iterable[Span]) -> Generator[tuple[Span, Fetched]]:
    """Each span and what it holds, in order; close it to end the threads that fetch."""
    coming: deque[tuple[Span, Future[Fetched]]] = deque()
    left, ahead = deque(spans), 0
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch-packs")
    try:
        while left or coming:
            while left and (not coming or ahead + left[0].size <= AHEAD_BYTES):
                ahead += left[0].size
                coming.append((left[0], pool.submit(_read, files, left.popleft())))
            first, data = coming.popleft()
            ahead -= first.size
            yield first, data.result()
            del first, data  # whoever took it may have let it go
    finally:
        pool.shutdown(cancel_futures=True)


def _read(files: Below, span: Span) -> Fetched:
    try:
        return memoryview(files.get_range(pack_key(span.pack), span.begin, span.size))
    except (NotFound, Truncated) as error:
        return Damaged(f"a pack is missing or cut short: {error}")
