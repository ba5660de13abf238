"""The training loop: one rank's part of every step, validation, and checkpoints.

Every step, each rank computes the windows of the global batch that its lanes hold. The gradient is the
sum over valid targets of the whole batch divided by their global count, whatever their split over ranks.
Nothing here depends on the clock or on how often the run was resumed: the same state gives the same bits.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lstm.tasks.forecast import ForecastTask
from lstm.training.config import TrainingConfig
from lstm.training.diverged import check_finite
from lstm.training.early_stopping import EarlyStopping
from lstm.training.events import emit, emit_error
from lstm.training.fetch_note import FetchNote
from lstm.training.learner import Learner
from lstm.training.ranks import RankFailed, Ranks
from lstm.training.recorder import Recorder
from lstm.training.schedule import learning_rate
from lstm.training.stop import DEADLINE_S, Stopped, StopSignal
from lstm.training.stopwatch import Stopwatch
from lstm.windows import Batch, Curriculum, WindowStream


class Trainer:
    """One rank of a run, from a restored commit to the end of its budget."""

    def __init__(
        self,
        config: TrainingConfig,
        ranks: Ranks,
        task: ForecastTask,
        learner: Learner,
        training: WindowStream,
        validation: WindowStream,
        recorder: Recorder,
        meta: dict[str, Any],
        stop: StopSignal | None = None,
    ) -> None:
        self.config, self.ranks, self.task, self.learner = config, ranks, task, learner
        self.training, self.validation, self.recorder = training, validation, recorder
        self.stop = stop or StopSignal()
        self._must_stop = False
        self.step: int = meta["step"]
        self.began_at = self.step
        """Step of the commit that this attempt restored."""
        self.stopping = EarlyStopping(**meta["early_stopping"])
        self.finished: bool = meta["finished"]
        # find_unused_parameters keeps DDP from laying its buckets out anew after the first step: a resumed
        # run would repeat that, and with three ranks another layout is another order of summation.
        self.parallel = DistributedDataParallel(learner.model, find_unused_parameters=True)
        self.since_report = _Totals()
        self.since_commit = _Totals()
        self.curriculum = Curriculum(config.curriculum) if config.curriculum else None
        self.stopwatch = Stopwatch()
        self.fetch_note = FetchNote(config.memory_mib)

    def run(self) -> None:
        """Train until the budget is spent or patience has run out; returns when the last commit is durable.

        Raises:
            Stopped: this rank or another one was asked to end; the state it had then is saved.
        """
        self.learner.model.train()
        batches = self._endless()
        while not self.finished:
            self._train_on(next(batches))
            if self.step % self.config.report_every == 0:
                self._report()
            if self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps:
                self._validate_and_commit()
            if self._must_stop and not self.finished:
                self._save_and_stop()

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self.training

    def _train_on(self, batch: Batch) -> None:
        inputs = self.task.inputs(batch)
        if self.curriculum:
            inputs = inputs.within(self.curriculum.horizon_at(self.step))
        loss, count = self.task.loss(self.parallel, inputs)
        total, everywhere = self._sum(loss, count)
        check_finite("loss", total, self.step, self.config)
        # DDP averages gradients over ranks, so `world` turns its mean back into the sum.
        (loss * (self.ranks.world / max(1.0, everywhere))).backward()
        norm = nn.utils.clip_grad_norm_(self.learner.model.parameters(), self.config.clip_norm)
        check_finite("gradient", float(norm), self.step, self.config)
        self.learner.update(learning_rate(self.config, self.step))
        self.learner.optimizer.zero_grad()
        self.step += 1
        for totals in (self.since_report, self.since_commit):
            totals.add(loss, count, batch.size)

    def _sum(self, loss: torch.Tensor, count: torch.Tensor) -> tuple[float, float]:
        """Loss and valid targets over all ranks; with them goes what must end the step everywhere."""
        failure = self.recorder.failure()
        if failure is not None:
            emit_error(failure)  # before the others know: torchrun ends all ranks once one has gone
        flags = torch.tensor([failure is not None, self.stop.asked], dtype=torch.float64)
        mine = torch.stack([loss.detach(), count.detach()]).to(torch.float64)
        total, everywhere, failed, asked = self.ranks.sum(torch.cat([mine, flags])).tolist()
        if failure is not None:
            raise failure
        if failed:
            raise RankFailed("a save failed on another rank; its own message says why")
        self._must_stop = asked > 0
        return total, everywhere

    def _validate_and_commit(self) -> None:
        with self.stopwatch.validating():
            validation_loss = self._validate()
        self.stopping.observe(validation_loss, self.step)
        self.finished = self.stopping.stopped or self.step == self.config.steps
        metrics = {"training_loss": self.since_commit.mean(self.ranks), "validation_loss": validation_loss}
        self.since_commit = _Totals()
        with self.stopwatch.saving():
            self.recorder.commit(self.learner, self._progress(), metrics)
            if self.finished:
                self.recorder.settle(self.config.timeout_s / 2)  # the others wait for rank 0 meanwhile

    def _save_and_stop(self) -> None:
        """Save off the beat, without a validation: resumed, all goes on as if it had not happened."""
        told = self.recorder.commit_now(self.learner, self._progress(), DEADLINE_S)
        raise Stopped(f"training was stopped: {told}, of {self.config.steps}; `carousel resume` goes on")

    def _progress(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "cursor": self.training.state_dict(),
            "early_stopping": self.stopping.state(),
            "finished": self.finished,
        }

    def _validate(self) -> float:
        """Mean loss over the same windows of the validation split each time."""
        model = self.learner.scored
        model.eval()
        totals = _Totals()
        self.validation.set_epoch(0)
        with torch.inference_mode():
            for batch in islice(self.validation, self.config.validation_batches or None):
                totals.add(*self.task.loss(model, self.task.inputs(batch)), batch.size)
        model.train()
        return totals.mean(self.ranks)

    def _report(self) -> None:
        totals, self.since_report = self.since_report, _Totals()
        loss = totals.mean(self.ranks)
        lap = self.stopwatch.lap(self.training.waited_s)
        if self.ranks.first:
            emit(
                "progress",
                step=self.step,
                steps=self.config.steps,
                epoch=self.training.state_dict()["epoch"],
                loss=loss,
                windows_per_s=totals.windows / lap.seconds,
                waiting_share=min(1.0, lap.waiting_s / lap.seconds),
                **lap.to_json(),
                read_amplification=self.training.read_amplification,
                checkpoint_bytes=self.recorder.stored_bytes,
                durable_step=self.recorder.newest.step if self.recorder.newest else self.began_at,
            )
            self.fetch_note.watch(self.training.read_amplification)


class _Totals:
    """Loss and valid targets of this rank since some step; windows of all ranks."""

    def __init__(self) -> None:
        self.loss_and_count = torch.zeros(2, dtype=torch.float64)
        self.windows = 0

    def add(self, loss: torch.Tensor, count: torch.Tensor, windows: int) -> None:
        self.loss_and_count += torch.stack([loss.detach().double(), count.detach().double()])
        self.windows += windows

    def mean(self, ranks: Ranks) -> float:
        """Mean loss per valid target over all ranks; not a number where there was none."""
        loss, count = ranks.sum(self.loss_and_count.clone()).tolist()
        return loss / count if count else float("nan")
