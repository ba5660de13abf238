"""What `make up` says where there is no Docker, or not enough of it: one message, the remedy, exit code 2."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .stack import ROOT

TOOLS = ("bash", "env", "dirname", "sed", "cat", "od", "tr", "cut", "du", "awk", "xargs", "mv", "echo")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with everything that the script needs but Docker."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        program = shutil.which(name)
        assert program is not None
        (folder / name).symlink_to(program)
    return folder


def call(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": str(path),
        "STACK_ENV": str(path.parent / "env"),
        "CAROUSEL_ROOT": str(path.parent / "root"),
    }
    return subprocess.run(
        [ROOT / "deploy" / "stack.sh", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def docker_that(path: Path, script: str) -> None:
    program = path / "docker"
    program.write_text(f"#!/usr/bin/env bash\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize("command", ["up", "down", "demo", "status", "logs"])
def test_docker_absent_is_one_message_with_the_remedy(path: Path, command: str) -> None:
    done = call(path, command)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Docker is not installed; install" in done.stderr
    assert "make demo" in done.stderr


def test_an_engine_that_does_not_answer_is_one_message_with_the_remedy(path: Path) -> None:
    docker_that(path, 'if [ "$1" = compose ]; then echo 2.40.3; else echo "Cannot connect" >&2; exit 1; fi')
    done = call(path, "up")
    assert done.returncode == 2
    assert "does not answer (Cannot connect); start it" in done.stderr


@pytest.mark.parametrize(
    ("says", "message"), [("exit 1", "no Compose v2"), ("echo 1.29.2", "Compose 1.29.2 is too old")]
)
def test_compose_1_is_one_message_with_the_remedy(path: Path, says: str, message: str) -> None:
    docker_that(path, says)
    done = call(path, "up")
    assert done.returncode == 2
    assert message in done.stderr
    assert "docker-compose-plugin" in done.stderr


def test_the_stack_is_not_started_twice_with_other_passwords(path: Path) -> None:
    docker_that(
        path, 'case "$1" in compose) echo 2.40.3 ;; info) echo 28 ;; volume) echo old_objects ;; esac'
    )
    done = call(path, "up")
    assert done.returncode == 2
    assert "data of an earlier stack" in done.stderr
    assert not (path.parent / "env").exists()


def test_commands_without_a_stack_say_how_to_make_one(path: Path) -> None:
    docker_that(path, "echo 2.40.3")
    done = call(path, "down")
    assert done.returncode == 2
    assert "make up" in done.stderr


def test_clean_without_a_terminal_removes_nothing(path: Path) -> None:
    docker_that(path, 'case "$1" in volume) echo stack_objects ;; *) echo 2.40.3 ;; esac')
    done = call(path, "clean")
    assert done.returncode == 2
    assert "volume stack_objects" in done.stderr
    assert "FORCE=1" in done.stderr


def test_nothing_to_clean_is_said_without_docker(path: Path) -> None:
    done = call(path, "clean")
    assert done.returncode == 0
    assert "nothing to remove" in done.stderr
