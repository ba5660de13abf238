"""A local file that appears under its name only when all of it is on the disk."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from storage.checkpoints.errors import FileTrouble

PARTIAL = ".partial"
"""Suffix of what is being written; a kill leaves it behind, and nothing reads it."""
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
"""What file systems without hard links answer (FAT, some of FUSE and SMB)."""


@contextmanager
def whole_file(path: Path, *, size: int | None = None, replace: bool = False) -> Iterator[BinaryIO]:
    """Write a file within the `with` block; nothing of it is left if the block fails.

    Args:
        path: where it appears.
        size: its bytes, as far as known: a disk without room for them is told before they are fetched.
        replace: whether it may take the place of another file.

    Raises:
        FileTrouble: something is there, or it cannot be written.
    """
    if not replace:
        refuse_what_is_there(path)
    partial = beside(path, PARTIAL)
    try:
        with partial.open("xb") as file:
            if size:
                os.posix_fallocate(file.fileno(), 0, size)
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            partial.replace(path)
        else:
            _put_in_place(partial, path)
        sync_folder(path.parent)
    except FileExistsError:
        partial.unlink(missing_ok=True)
        refuse_what_is_there(path)
        raise
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileTrouble(f"{path} cannot be written: {error.strerror or error}") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _put_in_place(partial: Path, path: Path) -> None:
    """Unlike a rename, it never replaces what has come meanwhile. Raises FileExistsError, OSError."""
    try:
        os.link(partial, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        partial.unlink()
        return
    with path.open("xb"):  # the name is ours now: a kill from here on leaves an empty file
        pass
    try:
        partial.replace(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def refuse_what_is_there(path: Path) -> None:
    """Raises FileTrouble."""
    if path.exists() or path.is_symlink():
        raise FileTrouble(f"{path} is there already; --force replaces it")


def beside(path: Path, suffix: str) -> Path:
    """A name in the same folder that nothing has."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
