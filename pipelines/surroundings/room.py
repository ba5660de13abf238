"""Room on the disk: how much is left, and one clear message where there is none."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import statvfs
from pathlib import Path

from storage.errors import UserError

NEEDED = 64 * 2**20
"""Bytes below which no command begins: servers that meet a full disk stop in the middle of things."""


class DiskFull(UserError):
    """There is no room where Carousel must write."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What is left of the disk that holds a folder."""

    free: int
    """Bytes that this user may still write."""
    total: int
    """Bytes of the whole disk."""
    files: int | None
    """Files that may still be made; None where the file system has no limit of its own."""


def room_of(path: Path) -> Room:
    """The room for `path`, which need not be there yet."""
    while not path.exists():
        path = path.parent
    usage, system = shutil.disk_usage(path), statvfs(path)
    return Room(free=usage.free, total=usage.total, files=system.f_favail if system.f_files else None)


def is_full(error: BaseException) -> bool:
    """Whether this error says that a disk, a user's share of it, or a file's allowance is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def enough_room(root: Path) -> Iterator[None]:
    """Refuse to begin on a full disk; blame the disk for whatever fails once it has become full.

    Raises:
        DiskFull: there are fewer bytes than NEEDED, or files.
    """
    _check(root, "free some room, or choose a folder on another disk with --root")
    try:
        yield
    except Exception as error:
        if not is_full(error):
            # What a server or a library makes of a full disk differs; that it is full does not.
            later = "what is committed stays; free some room, then give the same command again"
            _check(root, f"so this failed: {error}; {later}", error)
        raise


def _check(root: Path, rest: str, cause: BaseException | None = None) -> None:
    left = room_of(root)
    if left.free < NEEDED:
        raise DiskFull(
            f"the disk of {root} is full: {left.free / 1e6:.1f} MB of {left.total / 1e9:.1f} GB are free, "
            f"{NEEDED / 1e6:.0f} MB are needed; {rest}"
        ) from cause
    if left.files == 0:
        raise DiskFull(
            f"the disk of {root} can hold no more files (its inodes are used up); {rest}"
        ) from cause
