"""Ranges of immutable objects, kept in a folder of this host within a bound of bytes.

Any number of processes may share the folder. An entry is one file, named by what it holds, that begins with a
checksum of the rest: it is written beside its place and moved there, so `kill -9` leaves nothing but a
temporary file, which the next writer removes. An entry that is damaged is noticed, removed, fetched again.
A folder that somebody removes is made again, and a disk that fails only costs what it would have saved.

Whoever reads says when an entry will be needed next, as a number of epochs: 3.25 is a quarter into epoch 3.
That is kept as the file's time of modification, so all processes evict by the same knowledge: what is needed
last goes first. What has been needed by now is taken to be needed again once an epoch.
"""

import contextlib
import fcntl
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from storage.errors import UserError

_CHECKSUM = 32
_SPARE = 20
"""Evictions make room for one part in so many, so that the folder is not looked through each time."""


class DiskCache:
    """Safe to share between threads and between processes of one host."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Use a folder; it is made if need be, and brought within the bound.

        Raises:
            UserError: a bound of 0 bytes or less, or a folder that cannot be written.
        """
        if limit_bytes < 1:
            raise UserError(
                f"a disk cache must hold at least 1 byte, got {limit_bytes}; leave it out for none"
            )
        self._folder, self._limit = folder, limit_bytes
        self._said = threading.local()
        self.hits = 0
        """Entries that were found."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                self._write_size(self._evict(self._entries(), limit_bytes, math.inf))
        except OSError as error:
            raise UserError(f"{folder} cannot keep a cache: {error}; name another folder") from error

    @contextlib.contextmanager
    def until(self, now: float, needed: float) -> Iterator[None]:
        """Say, for this thread, the moment, and when what it reads meanwhile is needed next, in epochs."""
        self._said.moments = now, needed
        try:
            yield
        finally:
            del self._said.moments

    def get(self, name: str, start: int, length: int, fetch: Callable[[], bytes]) -> bytes:
        """A range of an object, from here, or by `fetch`.

        Args:
            name: of an object whose bytes never change.
            start: first byte.
            length: bytes.
            fetch: gives them; what it raises is raised.
        """
        data = self.find(name, start, length)
        if data is None:
            data = fetch()
            self.keep(name, start, data)
        return data

    def find(self, name: str, start: int, length: int) -> bytes | None:
        """A range that is here, sound and readable, or None."""
        path = self._path(name, start, length)
        try:
            held = path.read_bytes()
        except OSError:
            return None
        checksum, data = held[:_CHECKSUM], held[_CHECKSUM:]
        if len(data) != length or blake3(data).digest() != checksum:
            with contextlib.suppress(OSError), self._locked():
                self._forget(path)
            return None
        _, needed = self._moments()
        with contextlib.suppress(OSError):  # evicted since: the bytes are here all the same
            os.utime(path, (time.time(), needed))
        self.hits += 1
        return data

    def keep(self, name: str, start: int, data: bytes) -> None:
        """Keep a range, unless it is needed later than all that would have to go for it.

        A disk that is full or fails is no error: then nothing is kept.
        """
        with contextlib.suppress(OSError):
            self._keep(name, start, data)

    def _keep(self, name: str, start: int, data: bytes) -> None:
        path = self._path(name, start, len(data))
        now, needed = self._moments()
        size = _CHECKSUM + len(data)
        with self._locked():
            if path.exists():
                return
            held = self._size()
            if held + size > self._limit:
                room = self._limit - size - self._limit // _SPARE
                held = self._evict(self._entries(), max(room, 0), now, needed)
                if held + size > self._limit:
                    self._write_size(held)
                    return
            self._write_size(held + size)  # first: a kill in between makes it too large
            beside = path.with_name(f".{secrets.token_hex(8)}")
            try:
                path.parent.mkdir(exist_ok=True)
                beside.write_bytes(blake3(data).digest() + data)
                os.utime(beside, (time.time(), needed))
                beside.replace(path)
            except OSError:
                beside.unlink(missing_ok=True)
                self._write_size(held)

    def _moments(self) -> tuple[float, float]:
        moments: tuple[float, float] = getattr(self._said, "moments", (0.0, 1.0))
        return moments

    def _path(self, name: str, start: int, length: int) -> Path:
        key = blake3(f"{name}\0{start}\0{length}".encode()).hexdigest(length=16)
        return self._folder / key[:2] / key

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)  # what cleans temporary folders may have taken it
        with (self._folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # goes with the process, however that ends
            yield

    def _entries(self) -> list[tuple[float, int, Path]]:
        """When each is needed, its bytes, and its place; what a kill left half written is removed."""
        found = []
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            if path.name.startswith("."):
                path.unlink(missing_ok=True)  # whoever writes holds the lock, as we do: this one is dead
                continue
            told = path.stat()
            found.append((told.st_mtime, told.st_size, path))
        return found

    def _evict(
        self, entries: list[tuple[float, int, Path]], room: int, now: float, needed: float = -math.inf
    ) -> int:
        """Remove what is needed last, but nothing that is needed before `needed`; bytes that are left."""
        held = sum(size for _, size, _ in entries)

        def next_use(moment: float) -> float:
            return moment if moment >= now or math.isinf(now) else moment + math.ceil(now - moment)

        for moment, size, path in sorted(entries, key=lambda it: -next_use(it[0])):
            if held <= room or next_use(moment) <= needed:
                break
            path.unlink(missing_ok=True)
            held -= size
        return held

    def _forget(self, path: Path) -> None:
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return
        self._write_size(max(0, self._size() - size))

    def _size(self) -> int:
        try:
            return int((self._folder / "size").read_text())
        except (FileNotFoundError, ValueError):  # killed while it was written
            return sum(size for _, size, _ in self._entries())

    def _write_size(self, size: int) -> None:
        (self._folder / "size").write_text(str(size))
