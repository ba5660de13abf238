"""Indexes in the bucket: one object for each file, and one for each *block* of files that stand together.

A block of level 16 ends after a file whose identity has a checksum that 16 divides, and so on for 128, 1,024
and 8,192: blocks follow from the files, not from their places, so what is appended, removed or compacted
changes only the blocks around it. The files after the last end of a level are looked for in smaller blocks. A
snapshot of 10^6 files is read by some 200 requests, one of 10^4 by some 30.

An object's name is the hash of all that decides what is in it, so writers that meet write the same. Nothing
is ever unpickled. A cold cache costs a request for each file and a fifteenth more. Where a file's rows are
out of order, that stands in the place of its index and of the blocks around it, so it is found out once.
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

from lstm.windows.errors import UnsortedTable
from lstm.windows.index.file_index import FORMAT, FileIndex, cache_name, joined, scan
from lstm.windows.index.gathered import Gathered, Share
from lstm.windows.index.runs import REMEDY
from lstm.windows.table.keys import Keys
from storage.checkpoints.format.canonical import dumps
from storage.objects import Bucket, NotFound
from storage.tables.protocol import Snapshot

LEVELS = (8192, 1024, 128, 16)
"""Files of a block, on the average, the largest first."""

_THREADS = 8
"""Requests at once: they wait more than they compute."""
_UNSORTED = dumps({"format": FORMAT, "unsorted": True})
"""In the place of an index: these rows are out of order."""
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


def load_indexes(
    snapshot: Snapshot, keys: Keys, cache: Bucket | None, prefix: str, scanned: set[int]
) -> Loaded:
    """Indexes of all files.

    Args:
        snapshot: whose files.
        keys: what to index them by.
        cache: where indexes are kept.
        prefix: of their keys there.
        scanned: is told the numbers of files that have to be scanned, also when this raises.

    Raises:
        WindowError: the rows of a file cannot serve.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="index") as pool:
        try:
            return _Loader(snapshot, keys, cache, prefix, pool, scanned).load()
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
    decides = [FORMAT, "block", files, columns, keys.entity is not None, keys.ordinal, *keys.cut_by]
    return blake3(dumps(decides)).hexdigest()


class _Loader:
    def __init__(
        self,
        snapshot: Snapshot,
        keys: Keys,
        cache: Bucket | None,
        prefix: str,
        pool: ThreadPoolExecutor,
        scanned: set[int],
    ) -> None:
        self._snapshot, self._keys, self._cache, self._prefix = snapshot, keys, cache, prefix
        self._pool, self._scanned = pool, scanned
        self._unsorted: list[Span] = []
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
        known = list(self._each(self._file, singles))  # all of them first: one may say that it is unsorted
        unknown = [single for single, found in zip(singles, known, strict=True) if not found]
        try:
            list(self._each(self._scan, unknown))
        except UnsortedTable:
            self._remember_unsorted(missed)
            raise
        self._spans = sorted(self._found)
        for absent in reversed(missed):
            list(self._each(self._write, absent))
        found = [self._found[span] for span in self._spans]
        columns = self._gathered.columns(found)
        ends = np.cumsum([share.end - share.begin for share in found]).tolist()
        shares = [
            replace(share, begin=a, end=b) for share, (a, b) in zip(found, pairwise([0, *ends]), strict=True)
        ]
        return Loaded(columns, shares)

    def _look(self, spans: list[Span], is_end: NDArray[np.bool_]) -> tuple[list[Span], list[Span]]:
        """Take what is cached of the blocks in these spans; the spans that are left, and absent blocks."""
        blocks, left = cut(spans, is_end)
        absent = []
        for span, data in zip(blocks, self._each(self._fetch, blocks), strict=True):
            # one is decoded at a time, in order: a large one takes a hundred MB meanwhile
            index = self._decoded(data, span)
            if index is None:
                absent.append(span)
            else:
                self._found[span] = self._gathered.add(index)
        return sorted(left + absent), absent

    def _each(self, work: Callable[[Span], _T], spans: Sequence[Span]) -> Iterable[_T]:
        return self._pool.map(work, spans)

    def _fetch(self, span: Span) -> bytes | None:
        """A block or a file's index as the cache has it."""
        return self._cached(self._name(span))

    def _file(self, span: Span) -> bool:
        """Take one file's index as the cache has it; False: it has none."""
        index = self._decoded(self._fetch(span), span)
        if index is None:
            return False
        self._found[span] = self._gathered.add(index)
        return True

    def _scan(self, span: Span) -> None:
        """Make one file's index."""
        self._scanned.add(span[0])
        try:
            index = scan(self._snapshot, self._snapshot.files[span[0]], self._keys)
        except UnsortedTable:
            self._unsorted.append(span)
            self._put(self._name(span), _UNSORTED)
            raise
        self._put(self._name(span), index.to_bytes())
        self._found[span] = self._gathered.add(index)

    def _remember_unsorted(self, missed: Sequence[Sequence[Span]]) -> None:
        """So that the largest blocks around such a file tell of it, by the first request."""
        for begin, end in (span for absent in missed for span in absent):
            if any(begin <= file < end for file, _ in self._unsorted):
                self._put(self._name((begin, end)), _UNSORTED)

    def _write(self, span: Span) -> None:
        """Make a block of what was found in its place."""
        index = joined([self._gathered.index(self._found[found]) for found in self._within(span)])
        self._put(self._name(span), index.to_bytes())

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

    def _put(self, name: str, data: bytes) -> None:
        if self._cache is not None:
            self._cache.put(self._prefix + name, data)

    def _name(self, span: Span) -> str:
        if span[1] - span[0] == 1:  # no block has one file
            return cache_name(self._snapshot, self._snapshot.files[span[0]], self._keys)
        return block_name(self._snapshot, span, self._keys)

    def _decoded(self, data: bytes | None, span: Span) -> FileIndex | None:
        """None: absent, or damaged; scanning gives the same index again.

        Raises:
            UnsortedTable: it was scanned before, and is out of order.
        """
        if data is None:
            return None
        if data == _UNSORTED:
            first, *others = self._snapshot.files[slice(*span)]
            which = f"{first.path} or one of the {len(others)} files after it" if others else first.path
            raise UnsortedTable(f"{which} has rows out of order, as the cached index says; {REMEDY}")
        try:
            index = FileIndex.from_bytes(data)
        except ValueError:
            return None
        return index if len(index.file_groups) == span[1] - span[0] else None
