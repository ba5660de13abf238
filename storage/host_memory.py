"""Memory that this process may have: the machine's, or a container's where that is less."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes."""

    total: int
    """Of the machine, or of the container where that is less."""
    free: int
    limited: bool
    """Whether it is a container's limit rather than the machine's."""


def memory(groups: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> Memory:
    """What the machine has, or the control group that this process is in, whichever is less."""
    machine = psutil.virtual_memory()
    total, free, limited = machine.total, machine.available, False
    for limit, used in _limits(groups, own):
        if limit < total:
            total, limited = limit, True
        free = min(free, max(0, limit - used))
    return Memory(total, free, limited)


def _limits(groups: Path, own: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of this process's group and of those above it; in a container only its own is seen."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            yield from _walk(groups, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _walk(groups / "memory", path, *names)


def _walk(top: Path, path: str, limit: str, used: str, cache: str) -> Iterator[tuple[int, int]]:
    folder = top / path.lstrip("/")
    if not folder.is_dir():
        folder = top  # a container sees its own group as the top
    while True:
        most = _number(folder / limit)
        if most is not None:
            # what files the group has cached is given back when it needs room
            yield most, max(0, (_number(folder / used) or 0) - _cached(folder / "memory.stat", cache))
        if folder == top:
            return
        folder = folder.parent


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


def _cached(file: Path, name: str) -> int:
    try:
        words = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return 0
    return sum(int(count) for key, count in words if key == name)
