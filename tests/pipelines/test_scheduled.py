"""Flows as a schedule calls them: nightly runs are named by date and go on after a kill; scoring follows."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from lstm.training.start import begin
from pipelines.config.load import load
from pipelines.flows import train as training
from pipelines.runs.nightly import dated_name, dated_runs, runs_of
from pipelines.surroundings.session import flow_session
from storage.checkpoints import Repository
from storage.errors import UserError
from storage.objects import Bucket

from .conftest import CONFIG, waves, write

TODAY = datetime.now(UTC).date()


def test_dated_runs_come_newest_first_and_without_strangers() -> None:
    names = ["f", "f-2", "f-2026-01-02", "f-2026-11-21", "f-x-2026-11-21", "g-2026-11-21", "f-2026-1-1"]
    assert dated_runs("f", names) == ["f-2026-11-21", "f-2026-01-02"]
    assert runs_of("f", names) == ["f", "f-2", "f-2026-11-21", "f-2026-01-02"]


def test_a_dated_name_is_found_again() -> None:
    name = dated_name("a.b", date(2026, 11, 21))
    assert dated_runs("a.b", [name, "axb-2026-11-21"]) == [name] == ["a.b-2026-11-21"]


@pytest.fixture
def scheduled(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request) -> Iterator[str]:
    """Settings of a run of the test's own, as the worker's environment names them; Prefect listens."""
    run = f"scheduled-{request.node.name.replace('_', '-')[:40]}"
    path = tmp_path / "carousel.yaml"
    text = CONFIG.replace("run: waves", f"run: {run}").replace("s3://lake/", f"s3://lake/{run}/")
    path.write_text(text)
    monkeypatch.setenv("CAROUSEL_CONFIG", str(path))
    monkeypatch.setenv("CAROUSEL_ROOT", str(root))
    with flow_session(load(path).storage, root):
        yield run


def test_without_a_finished_run_scoring_says_so(scheduled: str) -> None:
    from pipelines.flows.scheduled import score_hourly

    assert "nothing to score with" in _message(score_hourly(return_state=True))


def test_without_a_table_yet_the_night_says_so(scheduled: str) -> None:
    from pipelines.flows.scheduled import train_nightly

    assert f"no table yet at s3://lake/{scheduled}/waves" in _message(train_nightly(return_state=True))


def test_a_run_that_cannot_go_on_keeps_no_later_night_from_training(
    scheduled: str, carousel, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch, trains_here: None,
) -> None:  # fmt: skip
    from pipelines.flows import scheduled as flows

    path = tmp_path / "carousel.yaml"
    assert carousel("ingest", write(waves(), tmp_path / "waves.parquet"), "-c", str(path)).code == 0
    config = load(path)
    old = config.named(dated_name(scheduled, date(2026, 1, 2)))
    with monkeypatch.context() as patch:
        patch.setattr(training, "launch", _cut_short)
        with pytest.raises(RuntimeError, match="cut short"):
            training.train(old, root)

    def gone(*arguments, **options):
        raise UserError("snapshot 0 is gone")

    monkeypatch.setattr(flows, "resume", gone)
    tonight = dated_name(scheduled, TODAY)
    assert f"run {tonight}: 6 steps" in _message(flows.train_nightly(return_state=True))
    assert f"run {old.run} cannot go on, so {tonight} begins: snapshot 0 is gone" in caplog.text


def test_a_night_cut_short_goes_on_then_rests_and_is_scored(
    scheduled: str, carousel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trains_here: None
) -> None:
    from pipelines.flows.scheduled import score_hourly, train_nightly

    source = write(waves(), tmp_path / "waves.parquet")
    assert carousel("ingest", source, "-c", str(tmp_path / "carousel.yaml")).code == 0

    with monkeypatch.context() as patch:
        patch.setattr(training, "launch", _cut_short)
        assert train_nightly(return_state=True).is_failed()
    assert "nothing to score with" in _message(score_hourly(return_state=True))

    tonight = dated_name(scheduled, TODAY)
    assert f"run {tonight}: 6 steps" in _message(train_nightly(return_state=True))
    assert "finished already" in _message(train_nightly(return_state=True))
    assert "rows, commit" in _message(score_hourly(return_state=True))
    assert "nothing new" in _message(score_hourly(return_state=True))


def _cut_short(job, lake, *, attempt, resume, data, **options):
    """What rank 0 does first, and no more: the run has its commit of step 0."""
    begin(
        job,
        lake,
        data,
        Repository.open(Bucket(job.bucket, lake.access), job.repository),
        attempt=attempt,
        resume=resume,
    )
    raise RuntimeError("cut short")


def _message(state) -> str:
    assert state.is_completed(), state.message
    return state.message or ""
