"""Encode chunks and upload them in packs, in parallel and in bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from storage.checkpoints.codecs import Encoded, Scalars, encode
from storage.checkpoints.format.chunks import ChunkId, bound
from storage.checkpoints.format.identity import CLEAR, Identity
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.manifest import PACK_LIMIT
from storage.checkpoints.format.names import pack_key
from storage.checkpoints.format.store import Below
from storage.checkpoints.in_order import in_order
from storage.checkpoints.save.predicting import Offer
from storage.checkpoints.tensor import Buffer

UPLOADS = 4
"""Packs under way at once: at most this many, and the one that is being filled, are held in memory; for as
long as it takes to put it together, a pack's parts are there beside it."""

_SMALLEST_TARGET = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Job:
    """One chunk to store."""

    chunk: ChunkId
    dtype: str
    raw: memoryview
    offers: tuple[Offer, ...] = ()
    """From what it may be predicted."""
    reads: tuple[int, ...] = ()
    """For each offer: stored bytes of older states that a restore then reads for it."""


class PackWriter:
    """Writes chunks into new packs. Leave the context to be sure that all packs are durable."""

    def __init__(
        self,
        files: Below,
        new_name: Callable[[], str],
        *,
        raw_bytes: int,
        format_: int,
        identity: Identity = CLEAR,
        encoders: int | None = None,
    ) -> None:
        """
        Args:
            files: the repository.
            new_name: gives a fresh pack name.
            raw_bytes: of all chunks to come.
            format_: of the repository; no younger codec is used.
            identity: of the repository; hides what is stored, if it does.
            encoders: threads that encode; None: one for each core, four at most.
        """
        self.packs: dict[str, int] = {}
        """Bytes of each pack; whole once the context was left."""
        self._files, self._new_name, self._format, self._identity = files, new_name, format_, identity
        # A small state goes up in several packs at once, a large one in packs as large as may be; the first
        # ones are smaller, so that the network is busy early.
        self._largest_target = min(PACK_LIMIT, max(_SMALLEST_TARGET, raw_bytes // UPLOADS + 1))
        self._target = _SMALLEST_TARGET
        self._workers = encoders or min(4, os.cpu_count() or 1)
        self._encoders = ThreadPoolExecutor(self._workers)
        self._uploaders = ThreadPoolExecutor(UPLOADS)
        self._under_way: deque[Future[str]] = deque()
        self._parts: list[Buffer] = []
        self._name, self._filled = new_name(), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                if self._filled:
                    self._send()
                for upload in self._under_way:
                    upload.result()
        finally:
            self._encoders.shutdown(cancel_futures=True)
            self._uploaders.shutdown(cancel_futures=True)

    def store(self, jobs: Sequence[Job]) -> dict[ChunkId, Location]:
        """Encode chunks; where each lies from now on."""
        located: dict[ChunkId, Location] = {}
        for job, encoded in zip(
            jobs, in_order(self._encoders, self._encode, jobs, ahead=2 * self._workers), strict=True
        ):
            size = len(encoded.stored)
            if self._filled and self._filled + size > self._target:
                self._send()
            bases: tuple[ChunkId, ...] = ()
            scalars: Scalars = ()
            if encoded.prediction is not None:
                taken = job.offers[encoded.prediction]
                bases, scalars = taken.bases, taken.prediction.scalars
            located[job.chunk] = Location(self._name, self._filled, size, encoded.codec, bases, scalars)
            self._parts.append(encoded.stored)
            self._filled += size
        return located

    def _encode(self, job: Job) -> Encoded:
        offers = [
            replace(it.prediction, reads=reads) for it, reads in zip(job.offers, job.reads, strict=True)
        ]
        found = encode(job.dtype, job.raw, offers, format_=self._format)
        return replace(found, stored=self._identity.seal(found.stored, bound(job.chunk, found.codec)))

    def _send(self) -> None:
        if len(self._under_way) == UPLOADS:
            self._under_way.popleft().result()
        self.packs[self._name] = self._filled
        self._under_way.append(self._uploaders.submit(self._put, self._name, self._parts))
        self._parts = []
        self._target = min(self._largest_target, 2 * self._target)
        self._name, self._filled = self._new_name(), 0

    def _put(self, name: str, parts: list[Buffer]) -> str:
        data = b"".join(parts)
        parts.clear()
        return self._files.put(pack_key(name), data)
