"""The demo as a newcomer runs it, shortened: killed anywhere it goes on, and two at once do the work once."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from types import SimpleNamespace

import psutil
import pytest

from pipelines.cli import run
from pipelines.demo.settings import demo_config, next_name, only_one
from storage.daemon import MARK

COMMAND = [sys.executable, "-m", "pipelines.cli"]
SHORT = ["training.steps=30", "training.checkpoint_every=10", "training.validation_batches=2"]
BEGINNINGS = ["starting an S3 server", "plan ", "step 10/30"]


def demo(root: Path, *options: str) -> list[str]:
    return [*COMMAND, "--root", str(root), "demo", *options, *(word for it in SHORT for word in ("-s", it))]


def left_running(root: Path) -> list[list[str]]:
    """Servers of this root that still run."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(root) in process.environ().get(MARK, ""):
                found.append(process.cmdline())
    return found


@pytest.fixture
def ended(tmp_path: Path) -> Iterator[Path]:
    """A root whose servers are gone in the end, whatever the test did."""
    yield tmp_path
    for arguments in (["s3", "stop"], ["ui", "--stop"]):
        run(["--root", str(tmp_path), *arguments])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_a_demo_that_is_killed_again_and_again_goes_on(kind, ended):
    for beginning in BEGINNINGS:
        with subprocess.Popen(demo(ended, "--format", kind), stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if beginning in line or "finished" in line:
                    os.kill(process.pid, signal.SIGKILL)
    done = subprocess.run(demo(ended, "--format", kind), capture_output=True, text=True, check=True)
    assert "finished at step 30 (budget)" in done.stderr or "is finished" in done.stderr
    assert "The model" in done.stdout
    assert "175,200 rows, none new" in done.stdout
    assert re.search(r"run flights\S*: 30 steps \(budget\)", done.stdout)
    assert left_running(ended) == []

    again = subprocess.run(demo(ended, "--format", kind), capture_output=True, text=True, check=True)
    assert "is finished; `--fresh` trains another" in again.stderr
    assert "nothing new (its 480 rows are there already)" in again.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_demos_at_once_do_the_work_once(ended):
    both = [
        subprocess.Popen(demo(ended), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("175,200 rows added" in out for out, _ in said) == 1
    assert sum("another demo runs" in err for _, err in said) == 1
    assert sum("is finished; `--fresh` trains another" in err for _, err in said) == 1
    assert left_running(ended) == []


def test_the_demos_right_is_waited_for(tmp_path):
    told: Queue[str] = Queue()

    def second() -> None:  # flock holds among threads as among processes: each opens the file
        with only_one(tmp_path, lambda: told.put("waits")):
            told.put("has it")

    other = Thread(target=second)
    with only_one(tmp_path, lambda: told.put("the first waits")):
        other.start()
        assert told.get(timeout=600) == "waits"
        assert told.empty()
        told.put("first ends")
    other.join()
    assert [told.get(), told.get(), told.empty()] == ["first ends", "has it", True]


@pytest.mark.parametrize("kind", ["delta", "iceberg"])
def test_the_demos_settings_are_of_its_own_tables(kind):
    config = demo_config(kind)
    assert {config.table.format, config.predictions.format} == {kind}
    other = demo_config("iceberg" if kind == "delta" else "delta")
    assert {config.run, config.table.uri, config.predictions.uri}.isdisjoint(
        {other.run, other.table.uri, other.predictions.uri}
    )


class Runs:
    """A repository of runs of one job: their steps are all done, or not."""

    def __init__(self, job, **finished):
        self.meta = {
            name: {"job": {**job.to_json(), "run": name}, "finished": done} for name, done in finished.items()
        }

    def runs(self):
        return list(self.meta)

    def commits(self, name):
        return [self.newest_complete(name)]

    def newest_complete(self, name):
        return SimpleNamespace(id=name)

    def restore(self, name, commit, names):
        return SimpleNamespace(meta=self.meta[name])


@pytest.mark.parametrize(
    ("finished", "fresh", "name"),
    [
        ((), False, "flights"),
        ((True,), False, "flights"),
        ((True,), True, "flights-2"),
        ((True, False), False, "flights-2"),
        ((True, False), True, "flights-3"),
        ((True, True), False, "flights"),
    ],
)
def test_of_several_runs_of_a_job_the_unfinished_one_goes_on(finished, fresh, name):
    job = demo_config("delta").job("1")
    names = ("flights", "flights-2")
    runs = Runs(job, **dict(zip(names, finished, strict=False)))
    assert next_name("flights", job, runs, fresh=fresh) == name


def test_a_run_of_another_job_does_not_go_on():
    config = demo_config("delta")
    assert (
        next_name("flights", config.job("2"), Runs(config.job("1"), flights=False), fresh=False)
        == "flights-2"
    )
