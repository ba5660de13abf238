"""Indexes in the bucket: one object for each file, and one for each *block* of files that stand together.

A block of level 16 ends after a file whose identity has a checksum that 16 divides, and so on for 128, 1,024
and 8,192: blocks follow from the files, not from their places, so what is appended, removed or compacted
changes only the blocks around it. The files after the last end of a level are looked for in smaller blocks. A
snapshot of 10^6 files is read by some 200 requests, one of 10^4 by some 30.

An object's name is the hash of all that decides what is in it, so writers that meet write the same. Nothing
is ever unpickled. A cold cache costs a request for each file and a fifteenth more.
"""

import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from lstm.windows.columns import Keys
from lstm.windows.file_index import FORMAT, FileIndex, cache_name, joined, scan
from lstm.windows.gathered import Gathered, Share
from storage.checkpoints.canonical import dumps
from storage.objects import Bucket, NotFound
from storage.tables.protocol import Snapshot

LEVELS = (8192, 1024, 128, 16)
"""Files of a block, on the average, the largest first."""

_THREADS = 8
"""Requests at once: they wait more than they compute."""
_T = TypeVar("_T")
Span = tuple[int, int]
"""Files [begin, end) of the snapshot."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The indexes of all files of a snapshot, in order."""

    columns: dict[str, NDArray[Any]]
    """[n pieces] each, as `gathered.COLUMNS` names them; `entity` counts into the entities of its share."""
    shares: list[Share]
    """One for each file, or for several that stand together; their places are those of `columns`."""
    scanned: int
    """Files that had to be scanned."""


def load_indexes(snapshot: Snapshot, keys: Keys, cache: Bucket | None, prefix: str) -> Loaded:
    """Indexes of all files.

    Raises:
        WindowError: the rows of a file cannot serve.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="index") as pool:
        try:
            return _Loader(snapshot, keys, cache, prefix, pool).load()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def checksums(snapshot: Snapshot) -> NDArray[np.uint32]:
    """[F] by which blocks end."""
    sums = (zlib.crc32(file.identity.encode()) for file in snapshot.files)
    return np.fromiter(sums, np.uint32, len(snapshot.files))


def cut(spans: Sequence[Span], is_end: NDArray[np.bool_]) -> tuple[list[Span], list[Span]]:
    """The blocks of one level in these spans, and what is left for smaller ones."""
    blocks: list[Span] = []
    left: list[Span] = []
    for begin, end in spans:
        for stop in (np.flatnonzero(is_end[begin:end]) + begin + 1).tolist():
            (blocks if stop - begin > 1 else left).append((begin, stop))
            begin = stop
        if begin < end:
            left.append((begin, end))
    return blocks, left


def block_name(snapshot: Snapshot, span: Span, keys: Keys) -> str:
    """Of a block: beside its files' identities, what `cache_name` takes for one."""
    files = [file.identity for file in snapshot.files[slice(*span)]]
    columns = [snapshot.column_identity(column) for column in keys.columns]
    decides = [FORMAT, "block", files, columns, keys.entity is not None, keys.ordinal, keys.max_gap]
    return blake3(dumps(decides)).hexdigest()


class _Loader:
    def __init__(
        self, snapshot: Snapshot, keys: Keys, cache: Bucket | None, prefix: str, pool: ThreadPoolExecutor
    ) -> None:
        self._snapshot, self._keys, self._cache, self._prefix = snapshot, keys, cache, prefix
        self._pool = pool
        self._gathered = Gathered()
        self._found: dict[Span, Share] = {}
        self._spans: list[Span] = []

    def load(self) -> Loaded:
        """Blocks from the largest to the smallest, then files; then blocks that were missing are written."""
        files = len(self._snapshot.files)
        wanted: list[Span] = [(0, files)] if files else []
        missed: list[list[Span]] = []
        if self._cache is not None:
            sums = checksums(self._snapshot)
            for level in LEVELS:
                wanted, absent = self._look(wanted, sums % level == 0)
                missed.append(absent)
        singles = [(number, number + 1) for span in wanted for number in range(*span)]
        scanned = sum(self._each(self._file, singles))
        self._spans = sorted(self._found)
        for absent in reversed(missed):
            list(self._each(self._write, absent))
        found = [self._found[span] for span in self._spans]
        columns = self._gathered.columns(found)
        ends = np.cumsum([share.end - share.begin for share in found]).tolist()
        shares = [
            replace(share, begin=a, end=b) for share, (a, b) in zip(found, pairwise([0, *ends]), strict=True)
        ]
        return Loaded(columns, shares, scanned)

    def _look(self, spans: list[Span], is_end: NDArray[np.bool_]) -> tuple[list[Span], list[Span]]:
        """Take what is cached of the blocks in these spans; the spans that are left, and absent blocks."""
        blocks, left = cut(spans, is_end)
        absent = []
        for span, data in zip(blocks, self._each(self._fetch, blocks), strict=True):
            # one is decoded at a time, in order: a large one takes a hundred MB meanwhile
            index = _decoded(data, span[1] - span[0])
            if index is None:
                absent.append(span)
            else:
                self._found[span] = self._gathered.add(index)
        return sorted(left + absent), absent

    def _each(self, work: Callable[[Span], _T], spans: Sequence[Span]) -> Iterable[_T]:
        return self._pool.map(work, spans)

    def _fetch(self, span: Span) -> bytes | None:
        """A block as the cache has it."""
        return self._cached(self._name(span))

    def _file(self, span: Span) -> bool:
        """Take one file's index; whether it had to be scanned."""
        file = self._snapshot.files[span[0]]
        name = cache_name(self._snapshot, file, self._keys)
        index = _decoded(self._cached(name), 1)
        known = index is not None
        if index is None:
            index = scan(self._snapshot, file, self._keys)
            self._put(name, index)
        self._found[span] = self._gathered.add(index)
        return not known

    def _write(self, span: Span) -> None:
        """Make a block of what was found in its place."""
        index = joined([self._gathered.index(self._found[found]) for found in self._within(span)])
        self._put(self._name(span), index)

    def _within(self, span: Span) -> Iterator[Span]:
        """What was found there, in order."""
        for found in self._spans[bisect_left(self._spans, (span[0], 0)) :]:
            if found[0] >= span[1]:
                return
            yield found

    def _cached(self, name: str) -> bytes | None:
        if self._cache is None:
            return None
        try:
            return self._cache.get(self._prefix + name).data
        except NotFound:
            return None

    def _put(self, name: str, index: FileIndex) -> None:
        if self._cache is not None:
            self._cache.put(self._prefix + name, index.to_bytes())

    def _name(self, span: Span) -> str:
        return block_name(self._snapshot, span, self._keys)


def _decoded(data: bytes | None, files: int) -> FileIndex | None:
    """None: absent, or damaged; scanning gives the same index again."""
    if data is None:
        return None
    try:
        index = FileIndex.from_bytes(data)
    except ValueError:
        return None
    return index if len(index.file_groups) == files else None
