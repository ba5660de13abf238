"""Kill a run anywhere, as often as you like: resumed, it ends with the very bits of an uninterrupted one."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lstm.training.job import Job

from .runner import Runner

pytestmark = pytest.mark.timeout(900)  # a dozen launches, on a machine that may be busy


@pytest.mark.slow  # `make test-resume`, and so CI
@pytest.mark.parametrize("ranks", [2, 3])
def test_killed_at_seven_points_it_ends_bit_identical(
    runner: Runner, make_job: Callable[..., Job], ranks: int
) -> None:
    whole = make_job(f"whole-{ranks}", ranks=ranks)
    uninterrupted = runner.launch(whole)
    job = make_job(f"killed-{ranks}", ranks=ranks)
    head, packs, manifests = (f"/runs/{job.run}/head", "/packs/", f"/runs/{job.run}/manifests/")

    runner.killed_at_request(job, "PUT", packs, 1)  # before the first save has stored anything
    runner.killed_at_request(job, "PUT", head, 2, after=True)  # it has landed, nobody was told
    runner.killed_at_step(job, 3, "torchrun")
    runner.killed_at_request(job, "PUT", manifests, 1)  # inside the save of step 8: packs, no manifest
    runner.killed_at_step(job, 13, "1")
    if ranks == 2:
        stopped = runner.stopped_at_step(job, 14)  # Ctrl-C: saved off the beat of checkpoints
        assert [event["step"] for event in stopped if event["event"] == "checkpoint"][-1] >= 14
    runner.killed_at_request(job, "PUT", head, 3)  # inside the save of step 16: the head does not name it
    runner.killed_at_step(job, 33, "0")
    resumed = runner.launch(job)

    assert (resumed.step, resumed.reason) == (uninterrupted.step, uninterrupted.reason)
    assert runner.bits(job, resumed.commit) == runner.bits(whole, uninterrupted.commit)


@pytest.mark.slow
def test_killed_while_it_stops_early_it_ends_bit_identical(
    runner: Runner, make_job: Callable[..., Job]
) -> None:
    hasty = {"steps": 400, "patience": 1, "checkpoint_every": 4, "learning_rate": 0.2, "schedule": "constant"}
    whole = make_job("hasty-whole", **hasty)
    uninterrupted = runner.launch(whole)
    assert uninterrupted.reason == "early stopping"
    job = make_job("hasty-killed", **hasty)
    saves = uninterrupted.step // 4

    # Head: created, step 0, then one change per save; each take-over changes it once too.
    runner.killed_at_request(job, "PUT", f"/runs/{job.run}/head", 2 + saves)  # the last save, not landed
    runner.killed_at_request(job, "PUT", f"/runs/{job.run}/head", 2, after=True)  # landed, not told
    resumed = runner.launch(job)

    assert (resumed.step, resumed.reason) == (uninterrupted.step, uninterrupted.reason)
    assert runner.bits(job, resumed.commit) == runner.bits(whole, uninterrupted.commit)


@pytest.mark.slow
def test_killed_between_the_stages_of_a_curriculum_with_weighted_series_it_ends_bit_identical(
    runner: Runner, make_job: Callable[..., Job]
) -> None:
    stages = {"curriculum": [[0, 1], [10, 3]], "steps": 24}
    whole, job, other = (
        replace(it, order=replace(it.order, temperature=2.0))
        for it in (
            make_job("staged-whole", **stages),
            make_job("staged-killed", **stages),
            make_job("not-staged", steps=24),
        )
    )
    uninterrupted, plain = runner.launch(whole), runner.launch(other)
    runner.killed_at_step(job, 9, "0")
    runner.killed_at_step(job, 13, "torchrun")
    resumed = runner.launch(job)
    assert runner.bits(job, resumed.commit) == runner.bits(whole, uninterrupted.commit)
    assert runner.bits(whole, uninterrupted.commit) != runner.bits(other, plain.commit)
