"""A real PostgreSQL on loopback, where its programs are at hand; its user must give a password."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import free_ports

USER = "carousel"


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    port: int
    password: str

    def uri(self, database: str = "postgres", user: str = USER) -> str:
        """For SQLAlchemy, without the password: that comes from PGPASSWORD."""
        return f"postgresql+psycopg2://{user}@127.0.0.1:{self.port}/{database}"


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Run one until the block ends."""
    initdb, program = (_find(name) for name in ("initdb", "postgres"))
    folder = Path(tempfile.mkdtemp(prefix="carousel-postgres-"))
    (port,) = free_ports(1)
    password = secrets.token_hex(16)
    try:
        (folder / "password").write_text(password)
        drop = _unprivileged(folder)
        secured = ["-U", USER, "-A", "scram-sha-256", "--pwfile", folder / "password"]
        subprocess.run(
            [*drop, initdb, "-D", folder / "data", *secured, "--no-sync", "-E", "UTF8", "--locale=C"],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(
                [*drop, program, "-D", folder / "data", *options], stdout=log, stderr=log, cwd=folder
            )
        try:
            _wait(server, port, folder / "log")
            yield Postgres(port, password)
        finally:
            server.send_signal(signal.SIGINT)  # its fast way to end
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def _find(name: str) -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    on_path = shutil.which(name)
    if not found and on_path is None:
        pytest.skip(f"no PostgreSQL here: {name} is neither under /usr/lib/postgresql nor on PATH")
    return found[-1] if found else Path(str(on_path))


def _unprivileged(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return []
    program = shutil.which("setpriv")
    if program is None:
        pytest.skip("PostgreSQL does not run as root, and there is no setpriv to become another user")
    user = pwd.getpwnam("nobody")
    for path in (folder, *folder.iterdir()):
        os.chown(path, user.pw_uid, user.pw_gid)
    return [program, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig=INT"]


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 300
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}")
