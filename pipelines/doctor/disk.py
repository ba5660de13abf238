"""Room for data, logs and temporary files."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipelines.doctor.case import Case
from pipelines.doctor.finding import Finding, ok, problem, warning
from pipelines.surroundings.room import NEEDED, room_of
from pipelines.surroundings.servers import check_root
from pipelines.upkeep.sizes import size_text
from storage.errors import UserError

LITTLE = 2_000_000_000
"""Bytes below which a few runs may fill a disk."""
FEW_INODES = 10_000


def check(case: Case) -> Iterator[Finding]:
    """The root and the folder for temporary files."""
    try:
        check_root(case.root)
    except UserError as error:
        seen, _, remedy = str(error).partition("; ")
        yield problem("root", seen, remedy)
    else:
        yield _room("root", case.root, "free some room, or choose a folder on another disk with --root")
    temporary = Path(tempfile.gettempdir())
    yield _room("temporary files", temporary, "free some room, or set TMPDIR to a folder on another disk")
    shared = Path("/dev/shm")  # noqa: S108 - the system's own name
    if shared.is_dir():
        free = room_of(shared).free
        yield ok("shared memory", f"{size_text(free)} free; Carousel itself needs none", free_bytes=free)


def _room(name: str, folder: Path, remedy: str) -> Finding:
    left = room_of(folder)
    seen = f"{size_text(left.free)} of {size_text(left.total)} free for {folder}"
    figures = {"path": folder, "free_bytes": left.free, "total_bytes": left.total, "free_files": left.files}
    if left.free < NEEDED:
        return problem(name, f"only {seen}; {size_text(NEEDED)} are needed", remedy, **figures)
    if left.files is not None and left.files < FEW_INODES:
        few = f"only {left.files:,} more files fit (inodes) for {folder}"
        return warning(name, few, remedy, **figures)
    if left.free < LITTLE:
        return warning(name, f"only {seen}", remedy, **figures)
    return ok(name, seen, **figures)
