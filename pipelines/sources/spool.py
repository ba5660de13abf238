"""Files as local ones: objects of buckets are fetched into a folder that goes away with the command.

A file is read several times (to know its rows, its order, and to append it), so it is fetched first. Few are
kept at once: the disk needs `KEEP_BYTES`, or the largest file.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from blake3 import blake3

from pipelines.sources.files import SourceFile
from storage.errors import UserError
from storage.objects import Bucket

KEEP_BYTES = 2 << 30
_RANGE = 8 << 20
_PREFIX = "ingest-"


class Spool:
    """Hands out local paths; a context that removes what it fetched."""

    def __init__(self, root: Path, bucket: Callable[[str], Bucket]) -> None:
        self.bucket = bucket
        """Opens a bucket of the files' server by its name."""
        self._held: dict[str, Path] = {}
        _remove_left_behind(root)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))
        """For other files that go away with the command."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, file: SourceFile) -> Path:
        """Where the file lies on this machine."""
        if file.path is not None:
            return file.path
        if file.name not in self._held:
            self._make_room(file.size)
            self._held[file.name] = self._fetch(file)
        return self._held[file.name]

    def digest(self, file: SourceFile) -> str:
        """What identifies the file's content."""
        try:
            return blake3(max_threads=blake3.AUTO).update_mmap(self.path(file)).hexdigest()
        except OSError as error:
            raise UserError(f"cannot read {file.name}: {error.strerror}") from error

    def _make_room(self, size: int) -> None:
        while self._held and size + sum(it.stat().st_size for it in self._held.values()) > KEEP_BYTES:
            self._held.pop(next(iter(self._held))).unlink()

    def _fetch(self, file: SourceFile) -> Path:
        bucket = self.bucket(file.bucket)
        path = self.folder / blake3(file.name.encode()).hexdigest()[:32]
        ranges = [(file.key, at, min(_RANGE, file.size - at)) for at in range(0, file.size, _RANGE)]
        with full_disk_told(self.folder, file.size), path.open("wb") as out:
            for part in bucket.get_ranges(ranges, threads=4):
                out.write(part)
        if bucket.head(file.key).etag != file.etag:
            raise UserError(f"{file.name} was replaced while it was read; try again")
        return path


@contextmanager
def full_disk_told(folder: Path, wanted: int) -> Iterator[None]:
    """Turn a full disk into a message."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"the disk of {folder.parent} is full: about {wanted / 1e6:,.0f} MB are needed there for a "
            "while; free some, or choose another folder with --root"
        ) from error


def _remove_left_behind(root: Path) -> None:
    """Folders of commands that were killed."""
    for folder in root.glob(f"{_PREFIX}*"):
        number = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)
