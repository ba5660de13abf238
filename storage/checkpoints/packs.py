"""Encode chunks and upload them in packs, in parallel and in bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from storage.checkpoints.chunks import ChunkId
from storage.checkpoints.codecs import encode
from storage.checkpoints.manifest import PACK_LIMIT, Location
from storage.checkpoints.names import pack_key
from storage.checkpoints.store import Below
from storage.checkpoints.tensor import Buffer

UPLOADS = 4
"""Packs under way at once: at most this many, and the one that is being filled, are held in memory."""

_SMALLEST_TARGET = 4 * 2**20
_T = TypeVar("_T")
_R = TypeVar("_R")


def store_chunks(
    files: Below, chunks: Mapping[ChunkId, tuple[str, memoryview]], new_name: Callable[[], str]
) -> tuple[dict[ChunkId, Location], dict[str, int]]:
    """Write chunks into new packs.

    Args:
        files: the repository.
        chunks: dtype and raw bytes of each.
        new_name: gives a fresh pack name.

    Returns:
        Where each chunk lies now, and the bytes of each pack; all packs are durable.
    """
    raw = sum(len(data) for _, data in chunks.values())
    # A small state goes up in several packs at once, a large one in packs as large as may be.
    target = min(PACK_LIMIT, max(_SMALLEST_TARGET, raw // UPLOADS + 1))
    located: dict[ChunkId, Location] = {}
    packs: dict[str, int] = {}
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as encoders, ThreadPoolExecutor(UPLOADS) as uploaders:
        under_way: deque[Future[str]] = deque()
        parts: list[Buffer] = []
        name, filled = new_name(), 0

        def send() -> None:
            if len(under_way) == UPLOADS:
                under_way.popleft().result()
            packs[name] = filled
            under_way.append(uploaders.submit(files.put, pack_key(name), b"".join(parts)))
            parts.clear()

        encoded = in_order(encoders, lambda item: encode(*item), chunks.values(), ahead=2 * workers)
        for chunk, (codec, stored) in zip(chunks, encoded, strict=True):
            if filled and filled + len(stored) > target:
                send()
                name, filled = new_name(), 0
            located[chunk] = Location(name, filled, len(stored), codec)
            parts.append(stored)
            filled += len(stored)
        if filled:
            send()
        for upload in under_way:
            upload.result()
    return located, packs


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[_T], _R], items: Iterable[_T], *, ahead: int
) -> Iterator[_R]:
    """Like `pool.map`, but with at most `ahead` results waiting, however slowly they are taken."""
    pending: deque[Future[_R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
