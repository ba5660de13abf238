"""A Prefect API with its UI as a background process, on loopback, with its database under one folder.

Measured on 2 cores, Prefect 3.8.8: the first start takes 6.4 s (database migrations), later ones 2.8 s; about
200 MB. It is uvicorn with Prefect's own application: `prefect server start` is the same plus 0.3 s, and
registering block types, which nothing here uses, would add 2.2 s.
"""

import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import psutil

from storage import daemon
from storage.errors import UserError
from storage.loopback import HOST, is_free

_PORTS = range(4200, 4300)  # Prefect's own port first: it is the one people know
_STARTS = 4


class PrefectFailed(UserError):
    """The Prefect API cannot be started here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrefectApi:
    """A running Prefect API."""

    folder: Path
    url: str
    """The UI's address; the API is below it."""
    pid: int
    since: datetime

    @property
    def api_url(self) -> str:
        """What PREFECT_API_URL wants."""
        return f"{self.url}/api"

    @classmethod
    def start(cls, folder: Path, *, die_with_parent: bool = False) -> Self:
        """Start the API of `folder`, or take over the one that runs; wait until it answers.

        Raises:
            PrefectFailed: it does not start; says why.
        """
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        ports = _ports(folder)
        for _ in range(_STARTS):
            try:
                running = daemon.start(
                    _record(folder),
                    lambda: _launch(folder, next(ports)),
                    _answers,
                    what="the Prefect API",
                    timeout_s=120,
                    die_with_parent=die_with_parent,
                )
            except daemon.DaemonFailed as error:
                failure = error  # often: another program took the port between our choice and the start
                _forget_half_a_database(folder)
                continue
            _complete(folder).touch()
            return cls._of(folder, running)
        raise PrefectFailed(f"gave up after {_STARTS} tries: {failure}") from failure

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The API of `folder` if it runs."""
        folder = folder.resolve()
        running = daemon.find(_record(folder))
        return None if running is None else cls._of(folder, running)

    def stop(self) -> None:
        """End the server; its database stays for the next start."""
        daemon.stop(_record(self.folder))

    def client_environment(self) -> dict[str, str]:
        """What a process needs in its environment, before it imports Prefect, to report here quietly."""
        return {
            **_shared_environment(self.folder),
            "PREFECT_API_URL": self.api_url,
            # The server is this machine's: where it does not answer at once, it is gone. Prefect's own five
            # tries double their pauses, for each of a dozen requests at a flow's end: a quarter of an hour.
            "PREFECT_CLIENT_MAX_RETRIES": "1",
            "PREFECT_CLIENT_RETRY_JITTER_FACTOR": "0",
            "PREFECT_API_REQUEST_TIMEOUT": "20",
            # The UI shows them; on the terminal a flow's error is told once, by the command.
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        }

    @classmethod
    def _of(cls, folder: Path, running: daemon.Daemon) -> Self:
        return cls(
            folder=folder,
            url=f"http://{HOST}:{running.details['port']}",
            pid=running.pid,
            since=datetime.fromisoformat(running.since),
        )


def settled_port(folder: Path) -> int | None:
    """Where the API of `folder` was the last time, and is the next time if that port is free then."""
    kept = folder / "port"
    return int(kept.read_text()) if kept.exists() else None


def _record(folder: Path) -> Path:
    return folder / "server.json"


def _complete(folder: Path) -> Path:
    """Says that the database was migrated to its end at least once."""
    return folder / "complete"


def _shared_environment(folder: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(folder),
        "PREFECT_PROFILES_PATH": str(folder / "profiles.toml"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _launch(folder: Path, port: int) -> daemon.Launch:
    application = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]
    ending = ["--timeout-graceful-shutdown", "1"]  # a browser's open connection must not hold it up
    listen = ["--host", HOST, "--port", str(port), "--log-level", "error", "--no-access-log"]
    url = f"http://{HOST}:{port}"
    return daemon.Launch(
        # -P: a file in the caller's folder must not stand in for a module of the same name
        command=[sys.executable, "-P", "-m", *application, *ending, *listen],
        env={
            # Nothing of the caller's environment that the server does not need: no keys to the bucket.
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **_shared_environment(folder),
            "PREFECT_SERVER_API_HOST": HOST,
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_UI_API_URL": f"{url}/api",
            "PREFECT_UI_STATIC_DIRECTORY": str(folder / "ui"),
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": url,
            "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
            "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        },
        details={"port": port},
    )


def _ports(folder: Path) -> Iterator[int]:
    """Free ports: last time's first, so that an address written down yesterday works today."""
    kept = folder / "port"
    before = settled_port(folder)
    for port in (*(() if before is None else (before,)), *_PORTS):
        if is_free(port):
            kept.write_text(str(port))
            yield port
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port = listener.getsockname()[1]
    while True:
        yield port


def _answers(running: daemon.Daemon) -> bool:
    """Whether this very process, not a stranger on its port, is ready for requests."""
    port = running.details["port"]
    try:
        listening = psutil.Process(running.pid).net_connections("inet")
        if port not in {it.laddr.port for it in listening if it.status == psutil.CONN_LISTEN}:
            return False
        with urllib.request.urlopen(f"http://{HOST}:{port}/api/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, psutil.Error):  # psutil: gone, or in the middle of its exec
        return False


def _forget_half_a_database(folder: Path) -> None:
    """Remove a database whose first migration was cut short: Prefect cannot go on in the middle of one."""
    if not _complete(folder).exists():
        for file in folder.glob("prefect.db*"):
            file.unlink()
