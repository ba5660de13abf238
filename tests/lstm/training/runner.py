"""Launches a job and kills it where a test says."""

from collections.abc import Callable
from dataclasses import dataclass, replace
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

OnEvent = Callable[[Event], None]


@dataclass
class Runner:
    """Launches jobs, one attempt after the other."""

    lake: Lake
    log: Path
    worker: str = "lstm.training.worker"
    spool: Path | None = None
    launches: int = 0

    def launch(self, job: Job, on_event: OnEvent = lambda event: None, lake: Lake | None = None) -> Outcome:
        self.launches += 1
        return launch(
            job,
            lake or self.lake,
            attempt=f"{job.run}-{self.launches}",
            resume=True,
            log=self.log,
            on_event=on_event,
            spool=self.spool,
            worker=self.worker,
        )

    def killed_at_step(self, job: Job, step: int, victim: str) -> None:
        """Launch; once `step` is done, SIGKILL the launcher (`torchrun`) or a rank (its number)."""

        def kill(event: Event) -> None:
            if event["event"] == "progress" and event["step"] == step:
                (family.torchrun() if victim == "torchrun" else family.ranks()[int(victim)]).kill()

        with pytest.raises(TrainingFailed):
            self.launch(job, kill)

    def killed_when_durable(self, job: Job, step: int, victim: int) -> None:
        """Launch; SIGKILL a rank once the checkpoint of `step` is durable, whatever step training is at."""

        def kill(event: Event) -> None:
            if event["event"] == "checkpoint" and event["step"] == step:
                family.ranks()[victim].kill()

        with pytest.raises(TrainingFailed):
            self.launch(job, kill)

    def stopped_at_step(self, job: Job, step: int) -> list[Event]:
        """Launch; once `step` is done, Ctrl-C. What was told from then on."""
        told: list[Event] = []

        def stop(event: Event) -> None:
            if told:
                told.append(event)
            elif event["event"] == "progress" and event["step"] >= step:
                told.append(event)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.launch(job, stop)
        return told

    def killed_at_request(self, job: Job, method: str, part: str, nth: int, *, after: bool = False) -> None:
        """Launch; SIGKILL rank 0 at its nth request of this kind, before or after the server has it."""
        seen = 0

        def trips(got: str, path: str) -> bool:
            nonlocal seen
            matches = got == method and part in path
            seen += matches
            return matches and seen == nth

        wire = Tripwire(self.lake.access.endpoint_url, trips, lambda: family.ranks()[0].kill(), after)
        try:
            access = replace(self.lake.access, endpoint_url=wire.endpoint)
            with pytest.raises(TrainingFailed):
                self.launch(job, lake=replace(self.lake, access=access))
        finally:
            wire.close()
        assert seen >= nth, f"only {seen} of {nth} {method} {part} came"

    def repository(self, job: Job) -> Repository:
        return Repository.open(Bucket(job.bucket, self.lake.access), job.repository)

    def bits(self, job: Job, commit: str) -> dict[str, bytes]:
        """Every tensor of a commit, to the bit: weights, moments, generators, plan."""
        restored = self.repository(job).restore(job.run, commit)
        return {name: bytes(tensor.data) for name, tensor in restored.tensors.items()}
