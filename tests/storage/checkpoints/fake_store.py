"""S3's semantics in memory, with faults on request: what cannot be provoked on a real server at will."""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from storage.objects import (
    Exists,
    LostRace,
    NotFound,
    Object,
    ObjectInfo,
    OutcomeUnknown,
    TooLong,
    Truncated,
    TryAgain,
    Unreachable,
    UnsafeServer,
)

T = TypeVar("T")


class Crash(BaseException):
    """The process is killed: nothing may catch this."""


class Fault(Enum):
    CRASH_BEFORE = "killed before the request is sent"
    CRASH_AFTER = "killed after it has had its effect"
    ANSWER_LOST = "has its effect, but the client is not told"
    NEVER_ARRIVED = "has no effect, and the client is not told"
    LATE = "has its effect later, when the server is told to deliver"
    AGAIN = "409: nothing written, send again"
    REPEATED = "has its effect, the answer is lost, and the client sends it again (plain requests only)"
    GIVEN_UP = "has its effect, and the client hears nothing however often it asks (plain requests only)"
    ECHOED = "has its effect, and once more when the server is told to deliver (plain writes only)"


@dataclass(frozen=True)
class Request:
    verb: str
    key: str

    def is_write(self) -> bool:
        return self.verb.startswith("put") or self.verb == "delete"


@dataclass
class FakeServer:
    """Objects by key. `watchers` are called after every change, under the lock."""

    objects: dict[str, bytes] = field(default_factory=dict)
    watchers: list[Callable[["FakeServer", Request], None]] = field(default_factory=list)
    late: list[Callable[[], object]] = field(default_factory=list)
    ignores_if_match: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def deliver(self) -> None:
        """Let every late request arrive now; conditions are checked now."""
        while self.late:
            with contextlib.suppress(Exists, LostRace):
                self.late.pop(0)()

    def etag(self, key: str) -> str | None:
        data = self.objects.get(key)
        return None if data is None else etag_of(data)

    def changed(self, request: Request) -> None:
        for watcher in self.watchers:
            watcher(self, request)


def etag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


class FakeStore:
    """One process's connection. `fault` decides before each request what happens to it."""

    def __init__(
        self,
        server: FakeServer | None = None,
        fault: Callable[[Request], Fault | None] = lambda request: None,
    ) -> None:
        self.server = server or FakeServer()
        self.fault = fault
        self.requests: list[Request] = []

    def put(self, key: str, data: bytes | memoryview) -> str:
        return self._do("put", key, lambda: self._write("put", key, bytes(data)))

    def put_if_absent(self, key: str, data: bytes | memoryview) -> str:
        content = bytes(data)

        def effect() -> str:
            if key in self.server.objects:
                raise Exists(key)
            return self._write("put_if_absent", key, content)

        return self._do("put_if_absent", key, effect)

    def put_if_match(self, key: str, data: bytes | memoryview, etag: str) -> str:
        content = bytes(data)

        def effect() -> str:
            if self.server.etag(key) != etag and not self.server.ignores_if_match:
                raise LostRace(key)
            return self._write("put_if_match", key, content)

        return self._do("put_if_match", key, effect)

    def get(self, key: str, limit: int | None = None) -> Object:
        data = self._do("get", key, lambda: self._read(key))
        if limit is not None and len(data) > limit:
            raise TooLong(key)
        return Object(data, etag_of(data))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        part = self._do("get_range", key, lambda: self._read(key)[start : start + length])
        if len(part) != length:
            raise Truncated(key)
        return part

    def get_parts(self, key: str, start: int, lengths: Sequence[int]) -> Iterator[bytes]:
        whole = memoryview(self.get_range(key, start, sum(lengths)))
        for length in lengths:
            yield bytes(whole[:length])
            whole = whole[length:]

    def get_ranges(self, ranges: Iterable[tuple[str, int, int]], threads: int = 8) -> Iterator[bytes]:
        for wanted in ranges:
            yield self.get_range(*wanted)

    def head(self, key: str) -> ObjectInfo:
        data = self._do("head", key, lambda: self._read(key))
        return ObjectInfo(key, len(data), etag_of(data))

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        found = self._do("list", prefix, lambda: sorted(self.server.objects.items()))
        for key, data in reversed(found):  # servers differ: nobody may rely on an order
            if key.startswith(prefix):
                yield ObjectInfo(key, len(data), etag_of(data))

    def folders(self, prefix: str) -> Iterator[str]:
        found = self._do("list", prefix, lambda: sorted(self.server.objects))
        below = (key.removeprefix(prefix) for key in found if key.startswith(prefix))
        return iter(dict.fromkeys(key.partition("/")[0] for key in below if "/" in key))

    def delete(self, key: str) -> None:
        def effect() -> None:
            self.server.objects.pop(key, None)
            self.server.changed(Request("delete", key))

        self._do("delete", key, effect)

    def probe(self, prefix: str) -> None:
        if self.server.ignores_if_match:
            raise UnsafeServer("it ignores If-Match")

    def _write(self, verb: str, key: str, data: bytes) -> str:
        self.server.objects[key] = data
        self.server.changed(Request(verb, key))
        return etag_of(data)

    def _read(self, key: str) -> bytes:
        if key not in self.server.objects:
            raise NotFound(key)
        return self.server.objects[key]

    def _do(self, verb: str, key: str, effect: Callable[[], T]) -> T:
        request = Request(verb, key)
        self.requests.append(request)
        fault = self.fault(request)
        if fault is Fault.CRASH_BEFORE:
            raise Crash(request)
        if fault is Fault.AGAIN:
            raise TryAgain(key)
        if fault is Fault.NEVER_ARRIVED:
            raise OutcomeUnknown(key)
        if fault is Fault.LATE:
            with self.server.lock:
                self.server.late.append(effect)
            raise OutcomeUnknown(key)
        with self.server.lock:
            result = effect()
        if fault is Fault.CRASH_AFTER:
            raise Crash(request)
        if fault is Fault.ANSWER_LOST:
            raise OutcomeUnknown(key)
        if fault is Fault.GIVEN_UP:
            raise Unreachable(key)
        if fault is Fault.ECHOED:
            with self.server.lock:
                self.server.late.append(effect)
        return self._do(verb, key, effect) if fault is Fault.REPEATED else result


def at(number: int, fault: Fault) -> Callable[[Request], Fault | None]:
    """The fault at the `number`-th request (from 0) of a connection, none at the others."""
    seen = iter(range(10**9))
    return lambda request: fault if next(seen) == number else None
