"""Ranks store shares of one state: each uploads, one commits, and what one of them meets all get to know."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lstm.training.events import Event
from lstm.training.job import Job
from lstm.training.launch import TrainingFailed, launch
from lstm.training.start import begin
from storage.checkpoints import Repository
from storage.errors import UserError
from storage.objects import Bucket
from storage.tables import Lake

from . import family, sharing_worker
from .runner import Runner
from .tripwire import Tripwire

pytestmark = pytest.mark.timeout(900)  # several launches, on a machine that may be busy

HIDDEN = 96  # some hundred kB a matrix: not inlined, and quickly trained


@pytest.fixture
def sharing(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv(sharing_worker.TRACE, str(tmp_path))
    return replace(runner, worker=sharing_worker.__name__)


@pytest.fixture
def make_large_job(make_job: Callable[..., Job]) -> Callable[..., Job]:
    def make(run: str, **training: int) -> Job:
        job = make_job(run, **{"steps": 64, **training})  # twice what saves in flight let training run ahead
        return replace(job, forecast=replace(job.forecast, hidden=HIDDEN))

    return make


def packs_of(folder: Path, attempt: str, rank: int) -> set[str]:
    """Names of the packs that a rank has put."""
    trace = folder / f"{attempt}.{rank}"
    return set(trace.read_text().splitlines()) if trace.exists() else set()


@pytest.mark.slow  # `make test-resume`, and so CI
@pytest.mark.parametrize("ranks", [2, 3])
def test_killed_in_the_upload_of_a_helper_it_ends_with_the_bits_of_a_run_that_rank_0_saves_alone(
    runner: Runner, sharing: Runner, make_large_job: Callable[..., Job], tmp_path: Path, ranks: int
) -> None:
    alone = make_large_job(f"alone-{ranks}", ranks=ranks)
    expected = runner.launch(alone)
    job = make_large_job(f"together-{ranks}", ranks=ranks)
    notes: list[Event] = []

    killed_at_a_pack_of_rank_1(sharing, job, 1)
    got = sharing.launch(job, lambda event: notes.append(event) if event["event"] == "note" else None)

    assert runner.bits(job, got.commit) == runner.bits(alone, expected.commit)
    assert notes == []
    repository = runner.repository(job)
    newest = [it for it in repository.commits(job.run) if it.attempt == f"{job.run}-2"]
    assert newest
    for commit in newest:
        packs = repository.shelf.read_manifest(job.run, commit).packs.keys()
        for rank in range(ranks):
            assert packs & packs_of(tmp_path, commit.attempt, rank), f"rank {rank}, step {commit.step}"


@pytest.mark.slow
@pytest.mark.parametrize("others", [1, 3])
def test_killed_in_the_upload_of_a_helper_it_goes_on_with_other_ranks(
    sharing: Runner, make_large_job: Callable[..., Job], others: int
) -> None:
    job = make_large_job(f"helper-killed-{others}")
    killed_at_a_pack_of_rank_1(sharing, job, 1)
    assert sharing.launch(job.with_ranks(others)).step == job.training.steps


def killed_at_a_pack_of_rank_1(sharing: Runner, job: Job, nth: int) -> None:
    """Launch; SIGKILL rank 1 once it sends its nth pack, which does not arrive."""
    seen = 0

    def trips(method: str, path: str) -> bool:
        nonlocal seen
        matches = method == "PUT" and "/packs/" in path
        seen += matches
        return matches and seen == nth

    wire = Tripwire(sharing.lake.access.endpoint_url, trips, lambda: family.ranks()[1].kill())
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(sharing_worker.ENDPOINT, wire.endpoint)
            with pytest.raises(TrainingFailed):
                sharing.launch(job)
    finally:
        wire.close()
    assert seen >= nth


@pytest.mark.slow  # `make test-resume`, and so CI
def test_what_one_rank_may_not_upload_ends_all_of_them_at_the_next_step(
    sharing: Runner, make_large_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(sharing_worker.REFUSED, "2")
    job = make_large_job("refused", steps=400, checkpoint_every=4)
    steps: list[int] = []

    def listen(event: Event) -> None:
        if event["event"] == "progress":
            steps.append(event["step"])

    with pytest.raises(UserError, match="rank 1 could not store its share: rank 1 may not write there"):
        sharing.launch(job, listen)
    assert steps[-1] < 100
    assert "RankFailed" not in sharing.log.read_text()
    saved = [commit.step for commit in sharing.repository(job).commits(job.run)]
    assert saved[:2] == [0, 4]
    assert 8 not in saved  # later ones may be there: rank 0 brings alone to an end what is under way


@pytest.mark.slow  # `make test-resume`, and so CI
def test_a_run_of_two_ranks_that_has_commits_is_refused_in_rank_0s_own_words(
    runner: Runner, make_job: Callable[..., Job], lake: Lake
) -> None:
    job = make_job("twice-on-two")
    repository = Repository.create(Bucket(job.bucket, lake.access), job.repository)
    begin(job, lake, lake, repository, attempt="first", resume=False)
    with pytest.raises(UserError, match="run 'twice-on-two' has 1 commits already, the newest of step 0"):
        launch(job, lake, attempt="again", resume=False, log=runner.log, on_event=lambda event: None)


@pytest.mark.slow  # `make test-resume`, and so CI
def test_two_ranks_that_diverge_say_so_once_and_keep_their_checkpoints(
    runner: Runner, make_job: Callable[..., Job]
) -> None:
    job = make_job("diverging-on-two", learning_rate=1e30, warmup_steps=0, checkpoint_every=1000)
    with pytest.raises(UserError, match=r"training has diverged .* Lower training.learning_rate"):
        runner.launch(job)
    (commit,) = runner.repository(job).commits(job.run)
    assert commit.step == 0
    assert not commit.damaged


@pytest.mark.slow
def test_ctrl_c_saves_with_the_helpers_and_no_group_listens_beyond_loopback(
    sharing: Runner, make_large_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = make_large_job("stopped")
    listening: set[str] = set()
    ports: dict[int, int] = {}

    def look(event: Event) -> None:
        if event["event"] == "progress":
            for rank, process in family.ranks().items():
                there = [it for it in process.net_connections("inet") if it.status == psutil.CONN_LISTEN]
                ports[rank] = max(len(there), ports.get(rank, 0))
                listening.update(it.laddr.ip for it in there)
            if event["step"] >= 14:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sharing.launch(job, look)
    assert listening == {"127.0.0.1"}
    assert ports.keys() == {0, 1}
    assert min(ports.values()) >= 2, "a group for training, and one for saving"
    repository = sharing.repository(job)
    newest = max(repository.commits(job.run), key=lambda it: it.step)
    assert newest.step >= 14
    packs = repository.shelf.read_manifest(job.run, newest).packs.keys()
    assert packs & packs_of(tmp_path, newest.attempt, 1)
    assert sharing.launch(job).step == job.training.steps
