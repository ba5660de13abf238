"""Kill a run anywhere, as often as you like: resumed, it ends with the very bits of an uninterrupted one."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lstm.training.events import Event
from lstm.training.job import Job
from lstm.training.launch import Outcome, TrainingFailed, launch
from storage.checkpoints import Repository
from storage.objects import Bucket
from storage.tables import Lake

from . import family
from .tripwire import Tripwire


@dataclass
class Runner:
    """Launches a job and kills it where a test says."""

    lake: Lake
    log: Path
    events: list[Event] = field(default_factory=list)
    launches: int = 0

    def launch(
        self, job: Job, on_event: Callable[[Event], None] | None = None, lake: Lake | None = None
    ) -> Outcome:
        self.launches += 1

        def seen(event: Event) -> None:
            self.events.append(event)
            if on_event:
                on_event(event)

        return launch(
            job,
            lake or self.lake,
            attempt=f"{job.run}-{self.launches}",
            resume=True,
            log=self.log,
            on_event=seen,
        )

    def killed_at_step(self, job: Job, step: int, victim: str) -> None:
        """Launch; once `step` is done, SIGKILL the launcher (`torchrun`) or a rank (its number)."""

        def kill(event: Event) -> None:
            if event["event"] == "progress" and event["step"] == step:
                (family.torchrun() if victim == "torchrun" else family.ranks()[int(victim)]).kill()

        self._dies(job, kill)

    def killed_at_request(self, job: Job, method: str, part: str, nth: int, *, after: bool = False) -> None:
        """Launch; SIGKILL rank 0 at its nth request of this kind, before or after the server has it."""
        seen = 0

        def trips(got: str, path: str) -> bool:
            nonlocal seen
            seen += got == method and part in path
            return got == method and part in path and seen == nth

        wire = Tripwire(self.lake.access.endpoint_url, trips, lambda: family.ranks()[0].kill(), after)
        try:
            access = replace(self.lake.access, endpoint_url=wire.endpoint)
            self._dies(job, lake=replace(self.lake, access=access))
        finally:
            wire.close()

    def _dies(
        self, job: Job, on_event: Callable[[Event], None] | None = None, lake: Lake | None = None
    ) -> None:
        with pytest.raises(TrainingFailed):
            self.launch(job, on_event, lake)


@pytest.fixture
def runner(lake: Lake, tmp_path: Path) -> Runner:
    return Runner(lake, tmp_path / "ranks.log")


def bits(lake: Lake, run: str, outcome: Outcome) -> dict[str, bytes]:
    """Every tensor of a commit, to the bit: weights, moments, generators, plan."""
    repository = Repository.open(Bucket("training", lake.access), "checkpoints")
    restored = repository.restore(run, outcome.commit)
    return {name: bytes(tensor.data) for name, tensor in restored.tensors.items()}


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
    runner.killed_at_request(job, "PUT", head, 3)  # inside the save of step 16: the head does not name it
    runner.killed_at_step(job, 33, "0")
    resumed = runner.launch(job)

    assert (resumed.step, resumed.reason) == (uninterrupted.step, uninterrupted.reason)
    assert bits(runner.lake, job.run, resumed) == bits(runner.lake, whole.run, uninterrupted)
