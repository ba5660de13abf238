"""The files of this machine, read as if they were one bucket: for tables that lie in a local folder.

Keys are absolute paths without their first slash. Nothing is ever written here: a folder has no conditional
put, on which the promises about writing rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from storage.errors import UserError
from storage.object_access import Access
from storage.object_calls import Calls
from storage.object_errors import AccessDenied, NotFound, ObjectError, TooLong, Truncated
from storage.objects import Bucket, Object, ObjectInfo


class ReadOnly(UserError):
    """Something was to be written where things are only read."""


class LocalFiles(Bucket):
    """Reads files. Their ETag is made of size and time of change."""

    def __init__(self) -> None:
        super().__init__("local", Access())
        self._calls = _NoServer(self.name, self.access)

    def __repr__(self) -> str:
        return "LocalFiles()"

    def uri(self, key: str) -> str:
        """The path."""
        return f"/{key}"

    def get(self, key: str, limit: int | None = None) -> Object:
        """Read a whole file. Raises as `Bucket.get`."""
        found = self.head(key)
        if limit is not None and found.size > limit:
            raise TooLong(f"{self.uri(key)} has {found.size} bytes, not {limit} at most")
        return Object(self._read(key), found.etag)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read a part of a file. Raises as `Bucket.get_range`."""
        data = self._read(key, start, length)
        if len(data) != length:
            raise Truncated(f"{self.uri(key)} holds {len(data)} of the {length} bytes from {start} on")
        return data

    def head(self, key: str) -> ObjectInfo:
        """Size and ETag of a file. Raises NotFound."""
        try:
            found = Path(self.uri(key)).stat()
        except OSError as error:
            raise _told(self.uri(key), error) from error
        return ObjectInfo(key, found.st_size, f'"{found.st_size}-{found.st_mtime_ns}"')

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All files whose key starts with `prefix`, ordered by key; none where there is no such folder."""
        folder, _, _ = self.uri(prefix).rpartition("/")
        found = [
            str(Path(place, name)).removeprefix("/")
            for place, _, names in os.walk(folder or "/", onerror=_refuse)
            for name in names
        ]
        return (self.head(key) for key in sorted(found) if key.startswith(prefix))

    def _read(self, key: str, start: int = 0, length: int = -1) -> bytes:
        try:
            with Path(self.uri(key)).open("rb") as file:
                file.seek(start)
                return file.read(length)
        except OSError as error:
            raise _told(self.uri(key), error) from error


class _NoServer(Calls):
    """Stands where a bucket sends its requests: there is nobody to send them to."""

    def _refused(self, *_: Any, **__: Any) -> NoReturn:
        raise ReadOnly("files of this machine are only read; write to a table in a bucket")

    plain = at_once = conditional = read = _refused


def _told(path: str, error: OSError) -> ObjectError:
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return NotFound(f"there is no file {path}")
    return AccessDenied(f"{path} cannot be read: {error.strerror}")


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise _told(str(error.filename), error)
