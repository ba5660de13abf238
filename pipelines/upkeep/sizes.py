"""How much lies in a folder: files and bytes, links not followed."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Size:
    """What some files come to."""

    files: int = 0
    bytes: int = 0
    """As they are stored: the room that removing them would free."""

    def __add__(self, other: "Size") -> "Size":
        return Size(self.files + other.files, self.bytes + other.bytes)


def size_of(paths: Iterable[Path]) -> Size:
    """Files and bytes at and below `paths`. What vanishes meanwhile, or may not be read, counts nothing."""
    total = Size()
    for path in paths:
        try:
            entry = path.lstat()
        except OSError:
            continue
        if path.is_symlink() or not path.is_dir():
            total += Size(1, _stored(entry))
        else:
            for folder, _, names in os.walk(path):
                total += size_of(Path(folder, name) for name in names)
    return total


def size_text(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def _stored(entry: os.stat_result) -> int:
    """Sparse files, as the S3 server makes them, take less than their length."""
    return entry.st_blocks * 512
