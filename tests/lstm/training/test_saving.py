"""Saves beside training: an outage of the bucket does not end it, and what is told is what is durable."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lstm.training.events import Event
from lstm.training.job import Job
from lstm.training.launch import launch
from storage.errors import UserError
from storage.tables import Lake

from . import family
from .runner import Runner
from .tripwire import Tripwire


def test_training_goes_on_through_an_outage_and_ends_durable(
    runner: Runner, make_job: Callable[..., Job], lake: Lake, tmp_path: Path
) -> None:
    job = make_job("through-an-outage")
    out = False
    events: list[Event] = []

    def listen(event: Event) -> None:
        nonlocal out
        events.append(event)
        if event["event"] == "checkpoint" and event["step"] == 8:
            out = True  # every request is dropped from now on
        if event["event"] == "note":
            out = False

    wire = Tripwire(lake.access.endpoint_url, lambda method, path: out)
    access = replace(lake.access, endpoint_url=wire.endpoint, patience_s=0.0)
    try:
        outcome = launch(
            job,
            replace(lake, access=access),
            attempt="only",
            resume=False,
            log=runner.log,
            on_event=listen,
            data=lake,
            spool=tmp_path / "spool",
        )
    finally:
        wire.close()
    notes = [event["message"] for event in events if event["event"] == "note"]
    assert "cannot reach the bucket and waits" in notes[0]
    assert "the bucket answers again" in notes[-1]
    commits = runner.repository(job).commits(job.run)
    assert [commit.step for commit in commits] == [0, 8, 16, 24, 32, 40]
    assert outcome.commit == commits[-1].id
    assert [event["step"] for event in events if event["event"] == "checkpoint"] == [8, 16, 24, 32, 40]
    durable = [event["durable_step"] for event in events if event["event"] == "progress"]
    assert durable == sorted(durable)
    assert durable[0] == 0


@pytest.mark.slow
def test_a_cluster_that_takes_the_machine_away_leaves_a_durable_state(
    runner: Runner, make_job: Callable[..., Job]
) -> None:
    job = make_job("preempted")

    def preempt(event: Event) -> None:
        if event["event"] == "progress" and event["step"] == 11:
            family.torchrun().terminate()

    with pytest.raises(UserError, match=r"stopped: step (\d+) is durable, of 40; `carousel resume` goes on"):
        runner.launch(job, preempt)
    assert runner.repository(job).restore(job.run, names=()).meta["step"] >= 11
