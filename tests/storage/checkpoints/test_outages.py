"""A server that goes away and comes back, and kill -9 at any moment: nothing that was promised is lost."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from storage.checkpoints import BackgroundWriter, Repository, RunWriter, Spool
from storage.checkpoints.errors import NotDurable
from storage.local import LocalServer
from storage.objects import Access, Bucket, Unreachable

from ...conftest import fresh_bucket
from .states import state

PREFIX = "some/where"


@pytest.fixture
def server(tmp_path) -> Iterator[LocalServer]:
    """One of its own, to be stopped; it comes back with its data at its old address."""
    server = LocalServer.start(tmp_path / "server", die_with_parent=True)
    yield server
    server.stop()


def impatient(server: LocalServer) -> Access:
    return replace(server.access, patience_s=0.0, connect_timeout_s=1.0)


def begun(access: Access) -> RunWriter:
    repository = Repository.create(fresh_bucket(access), PREFIX)
    writer = RunWriter.create(repository, "run", "a1")
    writer.save(state(w=0, m=0), {"step": 0}, step=0)
    return writer


def test_training_goes_on_through_an_outage_and_its_saves_arrive_afterwards(server, tmp_path):
    writer = begun(impatient(server))
    spool = Spool(tmp_path / "spool", "run", 2**20)
    notes: list[str] = []
    began, ended = threading.Event(), threading.Event()

    def note(text: str) -> None:
        notes.append(text)
        (ended if "answers again" in text else began).set()

    with BackgroundWriter(writer, spool=spool, in_flight=2, on_note=note) as saver:
        server.stop()
        for step in range(1, 6):  # more than memory may hold: they return because the spool takes them
            saver.save(state(w=step, m=0), {"step": step}, step=step)
        assert began.wait(600)
        assert saver.durable_step is None
        assert LocalServer.start(server.root, die_with_parent=True).endpoint_url == server.endpoint_url
        saver.wait(600)
        assert ended.wait(600)
    assert "step 1 cannot reach the bucket and waits" in notes[0]
    restored = writer.repository.restore("run")
    assert [commit.step for commit in writer.repository.commits("run")] == [0, 1, 2, 3, 4, 5]
    assert (restored.tensors, restored.skipped) == (state(w=5, m=0), ())
    assert spool.entries() == []


def test_what_outlasts_the_spool_is_dropped_oldest_first_and_said(server, tmp_path):
    writer = begun(impatient(server))
    notes: list[str] = []
    spool = Spool(tmp_path / "spool", "run", 12_000)  # two states
    saver = BackgroundWriter(writer, spool=spool, on_note=notes.append)
    server.stop()
    saves = [saver.save(state(w=step, m=0), {"step": step}, step=step) for step in range(1, 6)]
    with pytest.raises(NotDurable, match=r"step 4, 5; 2 of them in .*: a resume on this host commits them"):
        saver.close()
    assert [entry.step for entry in spool.entries()] == [4, 5]
    assert sum("dropped from the spool" in note for note in notes) == 3
    assert all("left the spool to make room" in str(save.exception(0)) for save in saves[:3])


def test_without_a_spool_an_outage_is_raised(server):
    saver = BackgroundWriter(begun(impatient(server)))
    server.stop()
    saver.save(state(w=1), {}, step=1)
    with pytest.raises(Unreachable):
        saver.wait(600)
    saver.close()


class Trainer:
    """Attempts of one run in processes that can be killed."""

    def __init__(self, bucket: Bucket, spool: Path) -> None:
        program = [sys.executable, "-m", "tests.storage.checkpoints.background_trainer"]
        self.process = subprocess.Popen(
            [*program, bucket.name, PREFIX, repr(asdict(bucket.access)), str(spool)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            text=True,
            bufsize=1,
        )
        self.durable = 0
        """The highest step that any attempt has called durable."""

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")

    def hear(self, wanted: str) -> str:
        """Read on to a line that begins so."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            words = line.split()
            if words[0] == "durable":
                self.durable = max(self.durable, int(words[1]))
            if words[0] == wanted:
                return line.strip()
        raise AssertionError(f"it ended before it said {wanted}")

    def begin(self, attempt: str) -> int:
        """Start an attempt; its pid."""
        self.tell(attempt)
        return int(self.hear("pid").split()[1])

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(600)
        assert self.process.stdout is not None
        self.process.stdout.close()


def killed_at_random(bucket: Bucket, spool: Path, kills: int) -> None:
    """kill -9 while saves run beside training; each time the run must be whole, and no promise broken."""
    repository = Repository.create(bucket, PREFIX)
    trainer, moments = Trainer(bucket, spool), random.Random(5)
    for number in range(kills):
        pid = trainer.begin(f"a{number}")
        trainer.hear("durable")
        threading.Event().wait(moments.uniform(0, 0.06))  # about two saves: any point of one is as likely
        os.kill(pid, signal.SIGKILL)
        trainer.hear("gone")
        restored = repository.restore("run")
        step = restored.meta["step"]
        assert restored.skipped == ()
        assert restored.tensors == state(w=step, m=0)
        assert step >= trainer.durable
    trainer.end()
    steps = [commit.step for commit in repository.commits("run")]
    assert steps == list(range(len(steps)))
    assert not repository.verify().findings


def test_killed_at_random_points_of_a_save_a_run_is_whole(bucket, tmp_path):
    killed_at_random(bucket, tmp_path, 5)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_200_random_points_of_a_save_a_run_is_whole(bucket, tmp_path):
    killed_at_random(bucket, tmp_path, 200)


def test_killed_in_an_outage_a_run_goes_on_from_what_this_host_has_kept(server, tmp_path):
    bucket = fresh_bucket(impatient(server))
    repository = Repository.create(bucket, PREFIX)
    trainer = Trainer(bucket, tmp_path / "spool")
    pid = trainer.begin("in-an-outage")
    trainer.hear("ready")
    server.stop()
    trainer.tell("save now")
    assert trainer.hear("spooled") == "spooled 1"
    os.kill(pid, signal.SIGKILL)
    trainer.hear("gone")
    LocalServer.start(server.root, die_with_parent=True)
    assert [commit.step for commit in repository.commits("run")] == [0]
    pid = trainer.begin("resumed")
    trainer.hear("durable")
    os.kill(pid, signal.SIGKILL)
    trainer.hear("gone")
    trainer.end()
    kept = next(commit for commit in repository.commits("run") if commit.step == 1)
    assert kept.attempt == "resumed"
    assert repository.restore("run", kept.id).tensors == state(w=1, m=0)
