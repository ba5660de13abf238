"""A bounded folder of this host that keeps a run's newest saves while the bucket cannot be reached.

A file is named by step and attempt and never changes. Whoever would exceed the limit drops the oldest first.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from storage.checkpoints.background.spool_file import (
    HEADER_LIMIT,
    PARTIAL,
    SpooledState,
    header_of,
    read,
    size_of,
    write,
)
from storage.checkpoints.format.names import checked_word

_SUFFIX = ".save"


class SpoolFull(OSError):
    """One state alone takes more than the whole spool, or a file of it, may."""


@dataclass(frozen=True, order=True, slots=True)
class Spooled:
    """A state in the spool; they order by step."""

    name: str
    path: Path
    size: int
    """Bytes of its file."""

    @property
    def step(self) -> int:
        """Of the state; -1 where somebody else has named the file."""
        digits = self.name.partition("-")[0]
        return int(digits) if digits.isdecimal() else -1


class Spool:
    """The spool of one run of one repository on this host. Any number of processes may use it at once."""

    def __init__(self, folder: Path, run: str, limit_bytes: int) -> None:
        """Nothing is made before something is put.

        Args:
            folder: of this repository: no two repositories may share it.
            run: name of the run.
            limit_bytes: what the files of this run may take together; while one is written, that one more.
        """
        if limit_bytes < 1:
            raise ValueError(f"a spool's limit must be >= 1 byte, got {limit_bytes}")
        self.folder, self.run, self.limit_bytes = folder / checked_word(run, "run"), run, limit_bytes

    def entries(self) -> list[Spooled]:
        """What is there, the oldest step first."""
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            try:
                found.append(Spooled(path.name, path, path.stat().st_size))
            except FileNotFoundError:  # another process has dropped it
                continue
        return sorted(found)

    def put(self, state: SpooledState) -> tuple[Spooled, list[Spooled]]:
        """Make a state durable on this host.

        Returns:
            Its entry, and what was dropped to make room, the oldest first.

        Raises:
            SpoolFull: it alone exceeds the limit, or its names and meta exceed that of a file.
            OSError: the disk is full or fails.
        """
        header = header_of(state)
        if len(header) > HEADER_LIMIT:
            raise SpoolFull(
                f"names, shapes and meta of the state take {len(header):,} bytes, more than {HEADER_LIMIT:,};"
                " keep large things in tensors"
            )
        size = size_of(state, header)
        if size > self.limit_bytes:
            raise SpoolFull(
                f"a state of {size:,} bytes does not fit a spool of {self.limit_bytes:,}; allow it more"
            )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{state.step:019d}-{state.attempt}-{secrets.token_hex(4)}{_SUFFIX}"
        write(
            self.folder / name, state, header
        )  # first: what it pushes out may be the only one that is durable
        dropped, there = [], [entry for entry in self.entries() if entry.name != name]
        while there and sum(entry.size for entry in there) + size > self.limit_bytes:
            dropped.append(there.pop(0))
            self.remove(dropped[-1])
        return Spooled(name, self.folder / name, size), dropped

    def read(self, entry: Spooled) -> SpooledState:
        """Raises Damaged, OSError."""
        return read(entry.path)

    def remove(self, entry: Spooled) -> None:
        """Forget a state, if it is there."""
        entry.path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed process left half written. Call it as the run's only trainer."""
        for path in self.folder.glob(f"*{PARTIAL}"):
            path.unlink(missing_ok=True)


def spool_folder(root: Path, *place: str) -> Path:
    """A folder below `root` for the repository that `place` names: endpoint, bucket, prefix."""
    return root / blake3("\0".join(place).encode()).hexdigest()[:16]
