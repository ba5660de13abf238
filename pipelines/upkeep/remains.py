"""What lies under a root, part by part, and its removal: only files that Carousel makes, by their names.

A root may be somebody's own folder, with files of theirs beside ours; those are never touched. Links are
removed, never followed, so nothing outside the root is lost.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from pipelines.surroundings import servers
from pipelines.surroundings.at_work import workers
from pipelines.surroundings.pack_lists import FILE, FOLDER
from pipelines.surroundings.prefect_api import PrefectApi
from pipelines.upkeep.sizes import Size, size_of
from storage.errors import UserError
from storage.local import LocalServer

Kept = Literal["logs", "runs", "all"]
"""How far `carousel clean` goes: logs; also what runs left beside their checkpoints; everything."""

_LOG = re.compile(r".+-\d{8}T\d{6}-[0-9a-f]{12}\.log")
_MEETING = re.compile(r"carousel-(\d+)-.+")
_LOCK = "users.lock"


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of files under a root."""

    name: str
    what: str
    """What a person would lose."""
    level: Kept
    """How far `clean` must be asked to go to remove it."""
    find: Callable[[Path], Iterator[Path]]

    def size(self, root: Path) -> Size:
        """Files and bytes of it under `root`."""
        return size_of(self.find(root))

    def remove(self, root: Path) -> None:
        """Remove it. What another user owns, or a file system refuses, is raised as OSError."""
        for path in list(self.find(root)):
            if path.is_symlink() or not path.is_dir():
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(path)
            _forget_empty(path.parent, root)


def _logs(root: Path) -> Iterator[Path]:
    yield from (path for path in _files(root / "logs", "*.log") if _LOG.fullmatch(path.name))


def _reports(root: Path) -> Iterator[Path]:
    jobs = {path.stem for path in _files(root / "runs", "*.json")}
    for path in [*_files(root / "reports", "*.html"), *_files(root / "reports", "*.json")]:
        if path.stem in jobs:
            yield path


def _jobs(root: Path) -> Iterator[Path]:
    yield from _files(root / "runs", "*.json")
    yield from _files(root, "demo.yaml")


def _prefect(root: Path) -> Iterator[Path]:
    yield from _server_files(servers.folder_of(PrefectApi, root))


def _spool(root: Path) -> Iterator[Path]:
    for run in (root / "spool").glob("*/*"):
        yield from _files(run, "*.save")
        yield from _files(run, "*.partial")


def _table_cache(root: Path) -> Iterator[Path]:
    for folder in (root / "table-cache").glob("??"):
        yield from _files(folder, "*")
    yield from _files(root / "table-cache", "*")


def _pack_lists(root: Path) -> Iterator[Path]:
    for name in (FILE, f"{FILE}-journal"):
        yield from _files(root / FOLDER, name)


def _s3(root: Path) -> Iterator[Path]:
    yield from _server_files(servers.folder_of(LocalServer, root))


def _caches(root: Path) -> Iterator[Path]:
    """Meeting folders of trainings that were killed: they lie in the folder for temporary files."""
    for path in Path(tempfile.gettempdir()).glob("carousel-*"):
        found = _MEETING.fullmatch(path.name)
        if found is None or path.is_symlink() or not path.is_dir() or path.stat().st_uid != os.getuid():
            continue
        if not psutil.pid_exists(int(found[1])):
            yield path


PARTS = (
    Part("logs", "what ranks printed", "logs", _logs),
    Part("leftovers", "temporary folders of killed trainings", "logs", _caches),
    Part(
        "table cache",
        "bytes of tables, kept between epochs; a training fetches them again",
        "logs",
        _table_cache,
    ),
    Part("reports", "pages of runs; `carousel report` makes them again", "runs", _reports),
    Part("jobs", "how runs were launched; a run's commits say it too", "runs", _jobs),
    Part(
        "manifests",
        "what `carousel checkpoints gc` has read; the next one reads it again",
        "runs",
        _pack_lists,
    ),
    Part("prefect", "Prefect's history of flows", "runs", _prefect),
    Part("spool", "checkpoints that an outage has kept from their bucket, until a resume", "all", _spool),
    Part("s3", "tables and checkpoints of the embedded S3 server, and its keys", "all", _s3),
)
"""Everything that Carousel leaves, the most easily missed last."""

_ORDER: tuple[Kept, ...] = ("logs", "runs", "all")


def parts(level: Kept) -> list[Part]:
    """The parts that a clean of this level removes."""
    return [part for part in PARTS if _ORDER.index(part.level) <= _ORDER.index(level)]


@contextmanager
def idle(root: Path) -> Iterator[None]:
    """Nothing runs under `root`, and no server is started there while the block runs.

    Raises:
        UserError: something runs.
    """
    running = [f"{work.command} (process {work.pid})" for work in workers(root)]
    for kind, name in ((LocalServer, "the S3 server"), (PrefectApi, "the Prefect API")):
        server = kind.find(servers.folder_of(kind, root))
        if server is not None:
            running.append(f"{name} (process {server.pid})")
    with ExitStack() as stack:
        free = True
        for kind in (LocalServer, PrefectApi):
            if servers.folder_of(kind, root).is_dir():
                free &= stack.enter_context(servers.alone(kind, root))
        if running or not free:
            names = ", ".join(running) or "a command"
            raise UserError(f"in use under {root}: {names}; end it first: carousel stop")
        yield


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_symlink() or path.is_file())


def _server_files(folder: Path) -> Iterator[Path]:
    """A server's folder is ours as a whole; its lock stays: whoever waits for it holds this very file."""
    if folder.is_symlink() or not (folder / _LOCK).is_file():
        return
    yield from sorted(path for path in folder.iterdir() if path.name != _LOCK)


def _forget_empty(folder: Path, root: Path) -> None:
    """Remove a folder below `root` that has become empty, and those above it that do so then."""
    while folder != root and folder.is_relative_to(root) and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
