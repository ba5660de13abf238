"""The README tells the truth: every shell block in it runs, in order, as a reader would type it."""

import gzip
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import deltalake
import numpy as np
import pyarrow as pa
import pytest

from storage.local import LocalServer
from storage.objects import Bucket
from tests.readme.blocks import README, Block, blocks, shell_blocks

REPOSITORY = README.parent
SHORT = {
    "CAROUSEL_TRAINING__STEPS": "8",
    "CAROUSEL_TRAINING__CHECKPOINT_EVERY": "4",
    "CAROUSEL_TRAINING__VALIDATION_BATCHES": "2",
    "CAROUSEL_MINUTES": "0.2",
    "PYTEST_ADDOPTS": "--collect-only -q -p no:cacheprovider",
}
"""What makes the blocks short: fewer steps, and `make test` finds the tests without running them."""


def test_every_block_says_what_it_is():
    found = blocks()
    assert {it.kind for it in found} <= {"sh", "text", "yaml"}, [it.line for it in found if not it.kind]
    assert {it.mark for it in found if it.kind == "sh"} == {None, "stack"}
    assert len(README.read_text().split("\n```")) - 1 == 2 * len(found), (
        "a fence that is not closed, or nested"
    )


def test_no_figure_is_left_to_fill_in():
    assert "@@" not in README.read_text()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tree as a reader has it after `make setup`: its files, and an environment with everything in it."""
    folder = tmp_path_factory.mktemp("readme") / "carousel"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in filter(None, tracked.stdout.split("\0")):
        if (REPOSITORY / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    _environment(folder / ".venv")
    _history(folder / "history.csv.gz")
    yield folder
    subprocess.run([folder / ".venv/bin/carousel", "stop", "--force"], cwd=folder, check=False, timeout=120)


@pytest.mark.readme
@pytest.mark.timeout(900)
def test_the_blocks_for_a_laptop_run_from_top_to_bottom(clone: Path, s3_server: LocalServer):
    _their_table(s3_server)
    variables = SHORT | {
        "PYTHONPATH": str(clone),
        "ENDPOINT": s3_server.endpoint_url,
        "CAROUSEL_DATA_ACCESS_KEY_ID": s3_server.access.access_key or "",
        "CAROUSEL_DATA_SECRET_ACCESS_KEY": s3_server.access.secret_key or "",
    }
    for block in shell_blocks(None):
        _run(block, clone, variables)


def _run(block: Block, folder: Path, variables: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.body],
        cwd=folder,
        env={**os.environ, **variables, "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"README.md, line {block.line}:\n{block.body}\n{done.stdout}\n{done.stderr}"


def _environment(venv: Path) -> None:
    """This very environment as `make setup` would have made it, and nothing of it is installed anew."""
    programs = venv / "bin"
    programs.mkdir(parents=True)
    for name, arguments in {"python": "", "carousel": "-m pipelines.cli"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    (programs / "activate").write_text(f"PATH={programs}:$PATH\n")
    (venv / ".installed").touch()


def _their_table(server: LocalServer) -> None:
    """A Delta table on another server, which Carousel did not write."""
    Bucket("plant", server.access).create()
    hours = np.arange(1500)
    rows = pa.table(
        {
            "at": pa.array(hours * 3_600_000_000, pa.timestamp("us", "UTC")),
            "power": 5 + np.sin(hours / 24 * math.tau),
        }
    )
    access = server.access
    deltalake.write_deltalake(
        "s3://plant/turbines",
        rows,
        storage_options={
            "AWS_ENDPOINT_URL": server.endpoint_url,
            "AWS_ACCESS_KEY_ID": access.access_key or "",
            "AWS_SECRET_ACCESS_KEY": access.secret_key or "",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        },
    )


def _history(path: Path) -> None:
    """Two pumps, an hour apart per row: a daily rhythm with a drift."""
    start = datetime(2025, 1, 1)
    with gzip.open(path, "wt") as file:
        file.write("pump,ts,pressure,flow\n")
        for pump in ("north", "south"):
            for hour in range(1500):
                swing = math.sin(hour / 24 * math.tau) + 0.1 * math.sin(hour / 7)
                file.write(f"{pump},{start + timedelta(hours=hour)},{50 + 5 * swing:.3f},{9 - swing:.3f}\n")
