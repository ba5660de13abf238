"""Flows as a schedule calls them: nightly runs are named by date and go on after a kill; scoring follows."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pipelines.config.load import load
from pipelines.flows import train as training
from pipelines.nightly import dated_name, dated_runs, runs_of
from pipelines.session import flow_session

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


def test_a_night_cut_short_goes_on_then_rests_and_is_scored(
    scheduled: str, carousel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.flows.scheduled import score_hourly, train_nightly

    source = write(waves(), tmp_path / "waves.parquet")
    assert carousel("ingest", source, "-c", str(tmp_path / "carousel.yaml")).code == 0
    whole = training.launch

    def cut_short(*arguments, on_event, **options):
        def until_the_second_commit(event) -> None:
            if event["event"] == "progress" and event["step"] > 3:
                raise RuntimeError("cut short")
            on_event(event)

        return whole(*arguments, on_event=until_the_second_commit, **options)

    monkeypatch.setattr(training, "launch", cut_short)
    assert train_nightly(return_state=True).is_failed()
    assert "nothing to score with" in _message(score_hourly(return_state=True))

    monkeypatch.setattr(training, "launch", whole)
    tonight = dated_name(scheduled, TODAY)
    assert f"run {tonight}: 6 steps" in _message(train_nightly(return_state=True))
    assert "finished already" in _message(train_nightly(return_state=True))
    assert "rows, commit" in _message(score_hourly(return_state=True))
    assert "nothing new" in _message(score_hourly(return_state=True))


def _message(state) -> str:
    assert state.is_completed(), state.message
    return state.message or ""
