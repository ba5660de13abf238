"""A bucket with S3's semantics in this process, for more objects than memory holds; it counts requests.

What nobody has written lies in an *archive*, which makes the content of an object when it is asked for, by a
formula. What is written or deleted afterwards is held. No time passes per request unless `latency_s` says so.
"""

import hashlib
import heapq
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from storage.objects import Exists, LostRace, NotFound, Object, ObjectInfo, Truncated

PAGE = 1000
"""Keys in one answer to a list, as on S3."""


class Archive(Protocol):
    """Objects that are there before anything is written."""

    def content(self, key: str) -> bytes | None:
        """An object; None: there is none."""
        ...

    def size(self, key: str) -> int | None:
        """Its bytes, for those whose content nobody reads too."""
        ...

    def listed(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys below a prefix, in order, with their sizes."""
        ...


class SimulatedStore:
    """An `ObjectStore` over an archive. Safe to share between threads."""

    def __init__(self, archive: Archive, latency_s: float = 0.0) -> None:
        self.requests: Counter[str] = Counter()
        """How many of each kind; the probe of a server counts as one."""
        self.sent = self.received = 0
        """Bytes of objects, from and to the client. Of lists, see `keys_listed`."""
        self.keys_listed = 0
        self.made_s = 0.0
        """Seconds that the simulation itself took to make contents: no real client waits for these."""
        self._archive, self._latency_s = archive, latency_s
        self._written: dict[str, bytes] = {}
        self._deleted: set[str] = set()
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes | memoryview) -> str:
        """See `ObjectStore`."""
        with self._request("put"):
            return self._write(key, data)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> str:
        """See `ObjectStore`."""
        with self._request("put"):
            if self._size(key) is not None:
                raise Exists(key)
            return self._write(key, data)

    def put_if_match(self, key: str, data: bytes | memoryview, etag: str) -> str:
        """See `ObjectStore`."""
        with self._request("put"):
            there = self._content(key)
            if there is None or _etag(there) != etag:
                raise LostRace(key)
            return self._write(key, data)

    def get(self, key: str, limit: int | None = None) -> Object:
        """See `ObjectStore`."""
        with self._request("get"):
            data = self._found(key)
            self.received += len(data)
            return Object(data, _etag(data))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """See `ObjectStore`."""
        with self._request("get"):
            part = self._found(key)[start : start + length]
            self.received += len(part)
        if len(part) != length:
            raise Truncated(key)
        return part

    def get_parts(self, key: str, start: int, lengths: Sequence[int]) -> Iterator[bytes]:
        """See `ObjectStore`."""
        whole = memoryview(self.get_range(key, start, sum(lengths)))
        for length in lengths:
            yield bytes(whole[:length])
            whole = whole[length:]

    def get_ranges(self, ranges: Iterable[tuple[str, int, int]], threads: int = 8) -> Iterator[bytes]:
        """See `ObjectStore`."""
        if not self._latency_s:
            yield from (self.get_range(*wanted) for wanted in ranges)
            return
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(lambda wanted: self.get_range(*wanted), ranges)

    def head(self, key: str) -> ObjectInfo:
        """See `ObjectStore`."""
        with self._request("head"):
            size = self._size(key)
            if size is None:
                raise NotFound(key)
            return ObjectInfo(key, size, "")

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `ObjectStore`. Sizes and keys only, ETags are left out."""
        written = sorted((key, len(data)) for key, data in self._written.items() if key.startswith(prefix))
        old = (it for it in self._archive.listed(prefix) if it[0] not in self._written)
        shown = 0
        for key, size in heapq.merge(old, written):
            if key in self._deleted:
                continue
            if shown % PAGE == 0:
                with self._request("list"):
                    pass
            shown += 1
            self.keys_listed += 1
            yield ObjectInfo(key, size, "")
        if not shown:
            with self._request("list"):
                pass

    def folders(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore`. Counts a request for each `PAGE` folders, as a server answers it."""
        listed = (key for key, _ in self._archive.listed(prefix))
        keys = (it.removeprefix(prefix) for it in (*listed, *self._written) if it.startswith(prefix))
        names = sorted({key.partition("/")[0] for key in keys if "/" in key})
        for begin in range(0, max(1, len(names)), PAGE):
            with self._request("list"):
                pass
            yield from names[begin : begin + PAGE]

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        with self._request("delete"):
            self._written.pop(key, None)
            self._deleted.add(key)

    def probe(self, prefix: str) -> None:
        """See `ObjectStore`: this one keeps what writing relies on."""
        with self._request("probe"):
            pass

    def _request(self, kind: str) -> "_Request":
        return _Request(self, kind)

    def _write(self, key: str, data: bytes | memoryview) -> str:
        self._written[key] = content = bytes(data)
        self._deleted.discard(key)
        self.sent += len(content)
        return _etag(content)

    def _found(self, key: str) -> bytes:
        data = self._content(key)
        if data is None:
            raise NotFound(key)
        return data

    def _content(self, key: str) -> bytes | None:
        if key in self._written or key in self._deleted:
            return self._written.get(key)
        began = time.process_time()
        data = self._archive.content(key)
        self.made_s += time.process_time() - began
        return data

    def _size(self, key: str) -> int | None:
        if key in self._written:
            return len(self._written[key])
        return None if key in self._deleted else self._archive.size(key)


class _Request:
    """One request: it waits, then has its effect alone."""

    def __init__(self, store: SimulatedStore, kind: str) -> None:
        self._store, self._kind = store, kind

    def __enter__(self) -> None:
        if self._store._latency_s:
            time.sleep(self._store._latency_s)
        self._store._lock.acquire()
        self._store.requests[self._kind] += 1

    def __exit__(self, *_: object) -> None:
        self._store._lock.release()


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
