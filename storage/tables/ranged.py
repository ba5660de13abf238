"""An object as a read-only file, of which the parts that will be needed were fetched beforehand."""

from __future__ import annotations

import io
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from storage.disk_cache import DiskCache
from storage.objects import Bucket, NotFound, ObjectError, Truncated
from storage.tables.errors import SnapshotDamaged, UnsupportedTable
from storage.tables.protocol import Traffic

_GAP = 64 << 10
"""Bytes between two wanted parts that cost less to read than a second request."""
_PART = 8 << 20
"""A longer range is fetched in parts of this many bytes, side by side."""
_THREADS = 4


class Meter:
    """Counts bytes read; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fetched = self._needed = 0

    def add(self, *, fetched: int = 0, needed: int = 0) -> None:
        """Count bytes that came, and bytes of the column chunks among them that were asked for."""
        with self._lock:
            self._fetched += fetched
            self._needed += needed

    @property
    def traffic(self) -> Traffic:
        """What was counted so far."""
        with self._lock:
            return Traffic(self._fetched, self._needed)


@dataclass(frozen=True, slots=True)
class Place:
    """One object that a snapshot needs."""

    bucket: Bucket
    key: str
    size: int
    """Bytes, as the table's metadata says."""
    snapshot: str
    """Which snapshot needs it, for messages."""
    meter: Meter = field(repr=False, compare=False)
    removed_by: str = field(default="a cleaning", repr=False, compare=False)
    """What removes files of old snapshots of such a table, for messages."""
    kept_by: str = field(default="the table's retention", repr=False, compare=False)
    """What says how long they stay."""
    disk: DiskCache | None = field(default=None, repr=False, compare=False)
    """Keeps what was read of it, by its name: files of a table never change. None: nothing does."""

    @property
    def uri(self) -> str:
        """`s3://bucket/key`, raw; the path of a local file."""
        return self.bucket.uri(self.key)

    def range(self, start: int, length: int) -> bytes:
        """Read a part of it.

        Raises:
            SnapshotDamaged: it is gone or shorter than the table says.
        """

        def fetch() -> bytes:
            return self._guarded(lambda: self.bucket.get_range(self.key, start, length))

        return fetch() if self.disk is None else self.disk.get(self._name, start, length, fetch)

    def whole(self) -> bytes:
        """Read all of it. Raises as `range`."""
        return self._guarded(lambda: self.bucket.get(self.key).data)

    def ranges(self, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read several `(start, length)` parts, in parallel. Raises as `range`."""
        if len(wanted) == 1:
            return [self.range(*wanted[0])]
        if self.disk is None:
            return self._fetch(wanted)
        found = [self.disk.find(self._name, *span) for span in wanted]
        missing = [span for span, data in zip(wanted, found, strict=True) if data is None]
        fetched = iter(self._fetch(missing))
        for (start, _), place in [(span, n) for n, span in enumerate(wanted) if found[n] is None]:
            found[place] = data = next(fetched)
            self.disk.keep(self._name, start, data)
        return [data for data in found if data is not None]

    @property
    def _name(self) -> str:
        endpoint = self.bucket.access.endpoint_url or ""
        return f"{endpoint}|{self.uri}|{self.size}"

    def _fetch(self, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        if not wanted:
            return []
        asked = [(self.key, start, length) for start, length in wanted]
        try:
            parts = list(self.bucket.get_ranges(asked, threads=min(_THREADS, len(asked))))
        except (NotFound, Truncated) as error:
            raise self._damaged(error) from error
        self.meter.add(fetched=sum(map(len, parts)))
        return parts

    def _guarded(self, read: Callable[[], bytes]) -> bytes:
        try:
            data = read()
        except (NotFound, Truncated) as error:
            raise self._damaged(error) from error
        self.meter.add(fetched=len(data))
        return data

    def _damaged(self, error: ObjectError) -> SnapshotDamaged:
        if not isinstance(error, NotFound):
            what = f"does not hold the {self.size} bytes it should: cut short or replaced"
            return SnapshotDamaged(
                f"{self.uri}, which {self.snapshot} needs, {what}; pin a newer snapshot, or bring it back"
            )
        return SnapshotDamaged(
            f"{self.uri}, which {self.snapshot} needs, is gone: {self.removed_by} or a hand has removed it; "
            f"pin a newer snapshot, or bring the file back. So that files stay as long as a training needs "
            f"them, raise {self.kept_by}"
        )


class RangedFile(io.RawIOBase):
    """The file. What was not fetched beforehand is fetched when it is read. For one reader at a time."""

    def __init__(
        self, place: Place, wanted: Iterable[tuple[int, int]] = (), whole: bytes | None = None
    ) -> None:
        """Fetch the `(start, length)` parts that are wanted, unless the whole file is at hand."""
        spans = _spans(wanted) if whole is None else [(0, len(whole))]
        self._place = place
        self._starts = [start for start, _ in spans]
        self._parts = ([whole] if whole is not None else place.ranges(spans)) if spans else []
        self._position = 0

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._place.size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes | memoryview:
        """What comes next; a view where it was fetched in one piece, as Arrow only looks at it."""
        left = max(self._place.size - self._position, 0)
        size = left if size is None or size < 0 else min(size, left)
        data = self._at(self._position, size)
        self._position += len(data)
        return data

    def _at(self, start: int, length: int) -> bytes | memoryview:
        """What was fetched beforehand, joined where it came in several parts; else fetched now."""
        found: list[bytes] = []
        position, stop = start, start + length
        while position < stop:
            index = bisect_right(self._starts, position) - 1
            offset = position - self._starts[index] if index >= 0 else 0
            if index < 0 or offset >= len(self._parts[index]):
                return self._place.range(start, length)
            part = self._parts[index]
            if not found and offset + length <= len(part):
                return memoryview(part)[offset : offset + length]
            piece = part[offset : offset + stop - position]
            found.append(piece)
            position += len(piece)
        return found[0] if len(found) == 1 else b"".join(found)


def _spans(wanted: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join what lies close together, cut what is long."""
    joined: list[list[int]] = []
    for start, length in sorted(wanted):
        if joined and start <= joined[-1][1] + _GAP:
            joined[-1][1] = max(joined[-1][1], start + length)
        else:
            joined.append([start, start + length])
    return [(cut, min(_PART, stop - cut)) for start, stop in joined for cut in range(start, stop, _PART)]


def split(location: str, needed_by: str) -> tuple[str, str]:
    """Bucket and raw key of a file as table metadata names it: `s3`, `s3a` and `s3n` mean the same.

    Raises:
        UnsupportedTable: it lies elsewhere.
    """
    scheme, separator, rest = location.partition("://")
    bucket, slash, key = rest.partition("/")
    if not separator or scheme.lower() not in ("s3", "s3a", "s3n") or not bucket or not slash or not key:
        raise UnsupportedTable(f"{needed_by} names a file outside of S3: {location}")
    return bucket, key
