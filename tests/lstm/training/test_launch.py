"""A launch leaves nothing behind, opens nothing to the network, and yields to whoever takes its run over."""

import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from lstm.training import launch as launching
from lstm.training.events import Event
from lstm.training.job import Job
from lstm.training.launch import launch
from lstm.training.start import RunHasCommits, begin
from storage.checkpoints import Repository
from storage.errors import UserError
from storage.objects import Bucket
from storage.tables import Lake

from . import family
from .one_rank import run_it_here
from .runner import Runner


@dataclass
class Short:
    """A training of two steps on two ranks, from its start to its end."""

    job: Job
    told: list[Event] = field(default_factory=list)
    listening: set[str] = field(default_factory=set)
    """Addresses at which its processes take connections."""
    step: int | None = None


@pytest.fixture(scope="module")
def short(lake: Lake, make_job: Callable[..., Job], tmp_path_factory: pytest.TempPathFactory) -> Short:
    short = Short(make_job("short", steps=2, seed=20261121))

    def look(event: Event) -> None:
        short.told.append(event)
        if event["event"] == "progress":
            for process in [family.torchrun(), *family.ranks().values()]:
                connections = process.net_connections("inet")
                short.listening.update(c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN)

    short.step = Runner(lake, tmp_path_factory.mktemp("short") / "ranks.log").launch(short.job, look).step
    return short


def test_nothing_listens_beyond_loopback(short: Short) -> None:
    assert short.listening == {"127.0.0.1"}


def test_a_date_makes_a_seed(short: Short) -> None:
    assert (short.job.training.seed, short.step) == (20261121, 2)


def test_training_reports_how_often_it_fetches(short: Short) -> None:
    told = [event["read_amplification"] for event in short.told if event["event"] in ("progress", "finished")]
    assert len(told) == 3
    assert all(0 < times <= 1 for times in told)
    assert [event for event in short.told if event["event"] == "note"] == []


def test_an_older_trainer_that_wakes_up_cannot_commit(
    runner: Runner, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job("taken-over", steps=16, ranks=1)
    asleep = threading.Event()
    sleepers: list[psutil.Process] = []
    outcome: list[BaseException] = []

    def sleep(event: Event) -> None:
        if event["event"] == "progress" and event["step"] == 10:
            sleepers.extend(family.ranks().values())
            for process in sleepers:
                process.suspend()
            asleep.set()

    def older() -> None:
        try:
            runner.launch(job, sleep)
        except UserError as error:
            outcome.append(error)

    thread = threading.Thread(target=older)
    thread.start()
    assert asleep.wait(600)
    monkeypatch.setattr(launching, "_torchrun", run_it_here)  # whoever takes over may be any process
    newer = runner.launch(job)
    commits = runner.repository(job).head(job.run).commits
    for process in sleepers:
        process.resume()
    thread.join()

    assert "was taken over by attempt 'taken-over-2'" in str(outcome[0])
    assert newer.step == job.training.steps
    assert runner.repository(job).head(job.run).commits == commits


def test_starting_a_run_that_has_commits_is_refused_in_its_ranks_own_words(
    make_job: Callable[..., Job], lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ranks are refused in test_saving_together.py."""
    monkeypatch.setattr(launching, "_torchrun", run_it_here)
    job = make_job("twice", ranks=1)
    repository = Repository.create(Bucket(job.bucket, lake.access), job.repository)
    begin(job, lake, lake, repository, attempt="first", resume=False)
    with pytest.raises(UserError, match="run 'twice' has 1 commits already, the newest of step 0"):
        launch(job, lake, attempt="again", resume=False, log=tmp_path / "log", on_event=lambda event: None)
    assert issubclass(RunHasCommits, UserError)


def test_a_snapshot_that_is_not_there_is_told(make_job: Callable[..., Job], lake: Lake) -> None:
    job = make_job("no-such-snapshot")
    job = replace(job, table=replace(job.table, snapshot="99"))
    repository = Repository.create(Bucket(job.bucket, lake.access), job.repository)
    with pytest.raises(UserError, match="99"):
        begin(job, lake, lake, repository, attempt="first", resume=False)


def _launch_in_child(
    job: Job, lake: Lake, log: Path, progress: "multiprocessing.connection.Connection"
) -> None:
    def tell(event: Event) -> None:
        if event["event"] == "progress":
            progress.send([family.torchrun().pid, *(p.pid for p in family.ranks().values())])

    launch(job, lake, attempt="child", resume=True, log=log, on_event=tell)


def test_ranks_die_with_the_process_that_launched_them(
    make_job: Callable[..., Job], lake: Lake, tmp_path: Path
) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    job = make_job("orphans", steps=100_000, patience=0, ranks=1)
    parent = multiprocessing.get_context("spawn").Process(
        target=_launch_in_child, args=(job, lake, tmp_path / "log", sender)
    )
    parent.start()
    assert receiver.poll(600)
    processes = [psutil.Process(pid) for pid in receiver.recv()]
    assert len(processes) == 2
    parent.kill()
    parent.join()
    _, alive = psutil.wait_procs(processes, timeout=120)
    assert not alive
