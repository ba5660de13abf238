"""The background servers of a laptop: found again, shared by commands, ended by the last one that uses them.

A command *borrows* the servers it needs. Who borrows holds a shared file lock, which the kernel lets go when
its holder dies, however it dies; the last borrower ends the server. A *kept* server (`carousel s3 start`,
`carousel ui --detach`) runs on without borrowers, until it is ended by hand.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from pipelines.surroundings.prefect_api import PrefectApi
from storage.errors import UserError
from storage.local import LocalServer


class Server(Protocol):
    """A background server whose state lies under one folder."""

    @classmethod
    def start(cls, folder: Path, /) -> Self: ...  # noqa: D102
    @classmethod
    def find(cls, folder: Path, /) -> Self | None: ...  # noqa: D102
    def stop(self) -> None: ...  # noqa: D102


ServerT = TypeVar("ServerT", bound=Server)

RECORD = "server.json"
"""In a server's folder: which process it is, as `storage.daemon` writes it."""
_OTHER = "choose another with --root"
_FOLDERS: dict[type[Any], str] = {LocalServer: "s3", PrefectApi: "prefect"}


def folder_of(kind: type[Server], root: Path) -> Path:
    """Where a kind of server keeps its data, keys and record."""
    return root / _FOLDERS[kind]


@contextmanager
def borrow(kind: type[ServerT], root: Path) -> Iterator[ServerT]:
    """The server of `root`, started if it does not run, ended on leaving if nobody else needs it."""
    folder = folder_of(kind, root)
    # The lock comes before the start: a borrower that leaves stops the server while it holds the lock alone.
    with _shared(folder) as descriptor:
        if kind.find(folder) is None:
            _kept(folder).unlink(missing_ok=True)  # the one that was to be kept is gone
        server = kind.start(folder)
        try:
            yield server
        finally:
            if _alone(descriptor) and not _kept(folder).exists():
                server.stop()


def keep(kind: type[ServerT], root: Path) -> ServerT:
    """Start the server, or take over the one that runs, and let it run on without borrowers."""
    folder = folder_of(kind, root)
    with _shared(folder):
        server = kind.start(folder)
        _kept(folder).touch()
        return server


def end(kind: type[ServerT], root: Path) -> str:
    """End the server unless a command uses it, in which case that command will; what happened, in words."""
    folder = folder_of(kind, root)
    server = kind.find(folder)
    if server is None:
        return "it does not run"
    with _shared(folder) as descriptor:
        _kept(folder).unlink(missing_ok=True)
        if not _alone(descriptor):
            return "a command uses it now; it ends with that command"
        server.stop()
    return "it has ended; its data stay"


@contextmanager
def alone(kind: type[Server], root: Path) -> Iterator[bool]:
    """Whether nobody borrows the server of `root`; if so, nobody can until the block ends."""
    with _shared(folder_of(kind, root)) as descriptor:
        yield _alone(descriptor)


def is_kept(kind: type[Server], root: Path) -> bool:
    """Whether the server of `root` runs on when no command uses it."""
    return _kept(folder_of(kind, root)).exists()


def was_killed(kind: type[Server], root: Path) -> bool:
    """Whether the server of `root` ended without being told to; the next start tidies up after it."""
    folder = folder_of(kind, root)
    return (folder / RECORD).exists() and kind.find(folder) is None


def make_root(root: Path) -> None:
    """Make the folder that holds servers, keys and logs: for its owner alone, and never part of a commit.

    Raises:
        UserError: it cannot be made, or cannot be written to.
    """
    try:
        if not root.exists():
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            (root / ".gitignore").write_text("*\n")
    except OSError as error:
        raise UserError(f"cannot make the folder {root}: {error.strerror}; {_OTHER}") from error
    check_root(root)


def check_root(root: Path) -> None:
    """Raise UserError if `root` is there and cannot be used; it need not be there."""
    if not root.exists():
        return
    if not root.is_dir() or not os.access(root, os.W_OK | os.X_OK):
        raise UserError(f"{root} is no folder that this user can write to; {_OTHER}, or mend its rights")


def _kept(folder: Path) -> Path:
    return folder / "keep"


@contextmanager
def _shared(folder: Path) -> Iterator[int]:
    make_root(folder.parent)
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def _alone(descriptor: int) -> bool:
    """Turn our lock into the only one, if it is. When two leave at once, the later one finds itself alone."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
