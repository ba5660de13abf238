"""One stack for the session, and the story that its tests look at: a training is killed, then down and up."""

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from storage.checkpoints import Commit

from ..conftest import free_ports
from .stack import Stack, docker, wait_for

RUN = "flights"
STEPS = 200
QUICK = (
    f'assignments=["training.steps={STEPS}", "training.checkpoint_every=20", "training.patience=0",'
    ' "training.validation_batches=1", "window.stride=24", "forecast.hidden=16"]'
)
"""The demo with a small model on every 24th window: seconds of training, all of the path."""


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is up."""
    if shutil.which("docker") is None:
        pytest.skip("Docker is not installed")
    if subprocess.run(["docker", "info"], capture_output=True, timeout=60, check=False).returncode:
        pytest.skip("the Docker engine does not answer")
    made = Stack(folder=tmp_path_factory.mktemp("stack"), ports=free_ports(3))
    try:
        made.up()
        yield made
    finally:
        made.remove()


@dataclass(frozen=True, kw_only=True)
class Killed:
    """A run by deployment whose container was killed while it trained, as it stood at its end."""

    before: tuple[Commit, ...]
    """Its commits right before the kill."""
    flow_run: dict[str, Any]
    log: str
    exit_code: int


@pytest.fixture(scope="session")
def killed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    log = tmp_path_factory.mktemp("demo") / "log"
    demo = stack.start_demo(log, QUICK)
    try:
        before = wait_for("third commit", lambda: len(found := stack.commits(RUN)) > 2 and found, every_s=0.2)
        # Everything in the container at once, as when the kernel ends it; only its init is left to notice.
        docker("exec", stack.containers()["worker"]["Id"], "sh", "-c", "kill -9 -1")
        assert demo.poll() is None, log.read_text()
        wait_for("end of the demo", lambda: demo.poll() is not None)
    finally:
        if demo.poll() is None:
            demo.kill()
        code = demo.wait()
    return Killed(before=before, flow_run=stack.deployed_run(), log=log.read_text(), exit_code=code)


@dataclass(frozen=True, kw_only=True)
class Restarted:
    """What there was before `down`; the stack is up again."""

    flow_runs: set[str]
    deployments: set[str]
    commits: tuple[Commit, ...]


@pytest.fixture(scope="session")
def restarted(stack: Stack, killed: Killed) -> Restarted:
    before = Restarted(
        flow_runs={it["id"] for it in stack.api("flow_runs/filter", {}) if not it["auto_scheduled"]},
        deployments={it["id"] for it in stack.api("deployments/filter", {})},
        commits=stack.commits(RUN),
    )
    assert stack.call("down").returncode == 0
    assert not stack.containers()
    stack.up()
    return before


@pytest.fixture
def other_bucket() -> str:
    return f"other-{secrets.token_hex(4)}"
