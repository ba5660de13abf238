"""How fast a job would train here: its own ranks take a few real steps on its real windows; nothing is saved.

The same launcher, ranks, streams and loop as in training are measured, so what is slow there is slow here.
The scaling is not: measuring it reads every training row, and the time of a step does not depend on it.
"""

import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch

from lstm.tasks.forecast import ForecastTask
from lstm.training.early_stopping import EarlyStopping
from lstm.training.events import Event, emit
from lstm.training.job import Job
from lstm.training.launch import launch
from lstm.training.learner import Learner
from lstm.training.loop import Trainer
from lstm.training.planning import plan_for
from lstm.training.ranks import Ranks
from lstm.training.recorder import Recorder
from lstm.training.start import pinned_snapshot
from lstm.training.worker import run_rank
from lstm.windows import Scaling, WindowReader, WindowStream
from lstm.windows.features.series_scaling import nothing_measured
from storage.objects import Bucket
from storage.tables import Lake

_SECONDS = 3.0
"""How long steps are measured."""
_WARM_UP = 4
"""First steps, which allocate and fill pools, are not counted."""
_BATCHES = 4
"""Batches of the validation that is measured."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds on this machine."""

    step_s: float
    """Of one optimiser step, data and all."""
    validation_s: float
    """Of one batch of the validation split."""


def measure_speed(job: Job, lake: Lake, *, log: Path, data: Lake | None = None) -> Speed:
    """Rehearse `job` for some seconds; blocks.

    Args:
        job: what is to be trained.
        lake: how its bucket is reached.
        log: file that takes what the ranks print.
        data: how its table is reached, if not as the bucket.

    Raises:
        UserError: a rank met a mistake that the user can mend, as training would.
        TrainingFailed: anything else; the message names the log.
    """
    measured: list[Speed] = []

    def listen(event: Event) -> None:
        if event["event"] == "calibrated":
            measured.append(Speed(event["step_s"], event["validation_s"]))

    launch(
        job,
        lake,
        data=data,
        attempt=f"rehearsal-{secrets.token_hex(6)}",
        resume=False,
        log=log,
        on_event=listen,
        worker="lstm.training.calibrate",
    )
    return measured[0]


class Rehearsal(Trainer):
    """A trainer that measures itself, and then is done."""

    def measure(self) -> Speed:
        """Take steps, the same number on every rank, and validate some batches."""
        self.learner.model.train()
        batches = self._endless()
        for batch in islice(batches, _WARM_UP):
            self._train_on(batch)
        pace = self._timed(lambda: self._train_on(next(batches)), 2)
        steps = max(2, min(1000, int(_SECONDS / pace)))
        pace = self._timed(lambda: self._train_on(next(batches)), steps)
        count = min(_BATCHES, len(self.validation))
        self.config = replace(self.config, validation_batches=count)
        self._validate()
        return Speed(pace, self._timed(self._validate, 1) / count)

    def _timed(self, what: Callable[[], object], times: int) -> float:
        """Mean seconds, the mean over ranks too, so that all of them decide alike."""
        began = time.perf_counter()
        for _ in range(times):
            what()
        seconds = torch.tensor([(time.perf_counter() - began) / times], dtype=torch.float64)
        return float(self.ranks.sum(seconds)) / self.ranks.world


def rehearse(job: Job, lake: Lake, data: Lake, ranks: Ranks) -> Speed:
    """This rank's part."""
    snapshot = pinned_snapshot(job, data)
    plan = plan_for(job, snapshot, Bucket(job.bucket, lake.access))
    columns = (job.forecast.target, *job.forecast.past)
    ones = (1,) * len(columns)
    scaling = Scaling(columns, ones, (0.0,) * len(columns), tuple(map(float, ones)))
    task = ForecastTask(
        job.forecast,
        window=plan.window,
        series=plan.series,
        scaling=scaling,
        by_series=nothing_measured(job.forecast.target),
    )
    torch.manual_seed(job.training.seed)
    learner = Learner.of(task.build_model(), job.training)
    reader = WindowReader(snapshot, plan, task.features, job.training.memory_mib * 2**20)
    seed, size = job.training.seed, job.training.batch_size
    with (
        WindowStream(
            plan, reader, "train", seed=seed, batch_size=size, rank=ranks.rank, ranks=ranks.world
        ) as training,
        WindowStream(
            plan, reader, "validation", seed=seed, batch_size=size, rank=ranks.rank, ranks=ranks.world
        ) as validation,
    ):
        stopping = EarlyStopping(patience=job.training.patience).state()
        meta = {"step": 0, "early_stopping": stopping, "finished": False}
        nothing_saves = Recorder(ranks, None, {}, {})
        return Rehearsal(
            job.training, ranks, task, learner, training, validation, nothing_saves, meta
        ).measure()


def main() -> int:
    """Run this rank; exit codes as those of `lstm.training.worker`."""

    def part(job: Job, lake: Lake, data: Lake, ranks: Ranks) -> None:
        speed = rehearse(job, lake, data, ranks)
        if ranks.first:
            emit("calibrated", step_s=speed.step_s, validation_s=speed.validation_s)
            emit("finished", step=0, commit="", reason="rehearsal")

    return run_rank(part)


if __name__ == "__main__":
    sys.exit(main())
