"""A stack of the tests' own: project, ports and volumes are not those of whoever runs the tests."""

import base64
import json
import os
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage.checkpoints import Commit, Repository
from storage.checkpoints.errors import RepositoryMissing, RunMissing
from storage.objects import Access, Bucket

ROOT = Path(__file__).parents[2]
BUCKET = "lake"
PATIENCE_S = 900
"""On a machine that does much else: importing PyTorch alone has been seen to take a minute."""


@dataclass(kw_only=True)
class Stack:
    """One stack; `deploy/stack.sh` is what `make` calls."""

    folder: Path
    ports: list[int]
    project: str = field(default_factory=lambda: f"carousel-test-{secrets.token_hex(4)}")

    @property
    def env_file(self) -> Path:
        return self.folder / "env"

    @property
    def environment(self) -> dict[str, str]:
        names = ("PREFECT_PORT", "S3_PORT", "S3_CONSOLE_PORT")
        return {
            **os.environ,
            **{name: str(port) for name, port in zip(names, self.ports, strict=True)},
            "COMPOSE_PROJECT_NAME": self.project,
            "STACK_ENV": str(self.env_file),
            "CAROUSEL_ROOT": str(self.folder / "root"),
        }

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "deploy" / "stack.sh", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 2,
            check=False,
        )

    def up(self) -> None:
        done = self.call("up")
        assert done.returncode == 0, done.stderr[-4000:] + self.complaints()

    def complaints(self) -> str:
        """The last lines of every container."""
        names = docker("ps", "--all", "--filter", self._mine, "--format", "{{.Names}}").split()
        logs = {name: docker("logs", "--tail", "15", name) for name in names}
        return "\n".join(f"--- {name}\n{log}" for name, log in logs.items())

    def remove(self) -> None:
        """Take away what this stack has made, and nothing else."""
        for kind, remove in (("container", ["rm", "--force"]), ("network", ["rm"]), ("volume", ["rm"])):
            every = ["--all"] if kind == "container" else []
            found = docker(kind, "ls", *every, "--quiet", "--filter", self._mine).split()
            if found:
                docker(kind, *remove, *found)

    @property
    def _mine(self) -> str:
        return f"label=com.docker.compose.project={self.project}"

    def containers(self) -> dict[str, Any]:
        """What Docker knows of every container, by service."""
        found = docker("ps", "--all", "--quiet", "--filter", self._mine).split()
        known = json.loads(docker("inspect", *found)) if found else []
        return {it["Config"]["Labels"]["com.docker.compose.service"]: it for it in known}

    def settings(self) -> dict[str, str]:
        lines = self.env_file.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    def access(self, *, root: bool = False) -> Access:
        """MinIO as the bucket's user sees it, or as its root does."""
        names = (
            ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD") if root else ("BUCKET_ACCESS_KEY", "BUCKET_SECRET_KEY")
        )
        key, secret = (self.settings()[name] for name in names)
        return Access(endpoint_url=f"http://127.0.0.1:{self.ports[1]}", access_key=key, secret_key=secret)

    def commits(self, run: str) -> tuple[Commit, ...]:
        """The commits of a run, read with the bucket's user; none where it has not begun."""
        try:
            return tuple(Repository.open(Bucket(BUCKET, self.access()), "checkpoints").commits(run))
        except (RepositoryMissing, RunMissing):
            return ()

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask Prefect."""
        password = base64.b64encode(self.settings()["PREFECT_AUTH"].encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[0]}/api/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json", "authorization": f"Basic {password}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def start_demo(self, log: Path, *parameters: str) -> subprocess.Popen[bytes]:
        """`make demo-stack` in the background; what it prints goes to `log`."""
        with log.open("wb") as sink:
            return subprocess.Popen(
                [ROOT / "deploy" / "stack.sh", "demo", *parameters],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    def deployed_run(self) -> dict[str, Any]:
        """The newest run of a deployment by hand."""
        runs = self.api("flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC"})
        return next(it for it in runs if it["deployment_id"] and not it["auto_scheduled"])

    def processes(self, service: str) -> str:
        return docker("top", self.containers()[service]["Id"], "-eo", "pid,args")


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + (done.stderr if arguments[0] == "logs" else "")


def wait_for(what: str, happened: Callable[[], Any], *, every_s: float = 0.5) -> Any:
    """The first true answer of `happened`."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := happened()):
        assert time.monotonic() < deadline, f"in {PATIENCE_S} s there was no {what}"
        time.sleep(every_s)
    return answer
