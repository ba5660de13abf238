"""Saves the states of somebody else's training loop into one run, beside the training.

What a framework's callback needs: a run that is begun or gone on with, saves in the background whose failures
are told at the next step, retention, tags, and a tag on the best.
"""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lstm.checkpoints.nested import flattened
from lstm.checkpoints.torch_slot import TorchSlot
from storage.checkpoints import (
    AdamHint,
    BackgroundWriter,
    CheckpointError,
    Commit,
    CommitMissing,
    HeadLost,
    Repository,
    Restored,
    Retention,
    RunExists,
    RunMissing,
    RunWriter,
    Tensor,
)

BEST = "best"
"""Tags the commit whose metric was the best when it was saved; the newest one that has it is the best."""


class NotTheNewest(CheckpointError):
    """A training would go on from an older commit, in the run that holds newer ones."""


def no_tags(step: int) -> Collection[str]:
    """Of every step: none."""
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Saving:
    """How a training is saved; the same for every framework."""

    every_steps: int | None = None
    """Optimizer steps between saves; None: none but those at the ends of epochs."""
    every_epochs: int | None = None
    """Epochs between saves at their ends; None: every one, unless `every_steps` is given."""
    retain: Retention | None = None
    """What stays, applied with each save; None: everything."""
    best: str | None = None
    """Name of a metric: a commit that is better than all before it is tagged "best"."""
    higher_is_better: bool = False
    """Whether `best` is a score rather than a loss."""
    tags: Callable[[int], Collection[str]] = no_tags
    """Takes a step, gives the tags of its commit."""
    in_flight: int = 2
    """Saves that are held in memory at most."""
    encoders: int = 1
    """Threads that encode: as many cores as saves may take."""

    def __post_init__(self) -> None:
        for name in ("every_steps", "every_epochs"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")

    def due_at_step(self, step: int) -> bool:
        """Whether an optimizer step is followed by a save."""
        return self.every_steps is not None and step > 0 and step % self.every_steps == 0

    def due_after(self, epochs: int) -> bool:
        """Whether the last of so many epochs is followed by a save."""
        every = self.every_epochs or (1 if self.every_steps is None else None)
        return every is not None and epochs % every == 0


class RunSaver:
    """One training's saves. Only the rank that writes begins, saves and closes; each of them may look."""

    def __init__(self, repository: Repository, run: str, saving: Saving, framework: str) -> None:
        """Nothing is read or written yet. `framework`: its name and version, to be told in each commit."""
        self.repository, self.run, self.saving = repository, run, saving
        self._framework = framework
        self._saver: BackgroundWriter[torch.Tensor | Tensor] | None = None
        self._best: float | None = None
        self.saved_step: int | None = None
        """Of the newest state that was taken or that training goes on from."""

    @property
    def is_open(self) -> bool:
        """Whether a run is begun."""
        return self._saver is not None

    @property
    def durable_step(self) -> int | None:
        """Of the newest commit that this training has made durable."""
        return None if self._saver is None else self._saver.durable_step

    def newest(self) -> Commit | None:
        """The commit to go on from; None: the run has none, or is not there. Raises HeadLost."""
        try:
            return self.repository.newest_complete(self.run)
        except HeadLost:
            raise
        except RunMissing:
            return None
        except CommitMissing:
            if self.repository.commits(self.run):
                raise  # all of them are damaged
            return None

    def begin(self, *, likely: Sequence[str] = ()) -> None:
        """Create the run. `likely`: runs that hold much of what this one will save.

        Raises:
            RunExists: it has commits, which are never overwritten.
        """
        try:
            writer = RunWriter.create(self.repository, self.run, self._attempt())
        except RunExists:
            commits = self.repository.commits(self.run)
            if commits:
                step = max(commit.step for commit in commits)
                raise RunExists(
                    f"run {self.run!r} has {len(commits)} commits already, the newest of step {step}; go on"
                    " from it (`newest()` of the callback says how), or give this training another name"
                ) from None
            writer = RunWriter.take_over(self.repository, self.run, self._attempt())
        writer.likely = likely
        self._open(writer)

    def resume(self, commit: str) -> Restored:
        """Take the run over, and read the state to go on from.

        Raises:
            NotTheNewest: the run has a newer commit.
            RunMissing, CommitMissing, Damaged: there is nothing to go on from.
        """
        newest = self.repository.newest_complete(self.run)
        if newest.id != commit:
            raise NotTheNewest(
                f"{self.run}/{commit} is not the newest commit of its run, that is {newest.id} of step"
                f" {newest.step}; go on from the newest, or give this training the name of a new run"
            )
        writer = RunWriter.take_over(self.repository, self.run, self._attempt())
        restored = writer.resume()
        self._open(writer)
        self.saved_step = restored.commit.step
        if (name := self.saving.best) is not None:
            for known in self.repository.commits(self.run):
                if name in known.metrics and not known.damaged:
                    self._is_best(known.metrics)
        return restored

    def save(
        self, state: Mapping[str, Any], *, step: int, metrics: Mapping[str, float], hints: Sequence[AdamHint]
    ) -> None:
        """Take a copy of a nested state, to be committed beside training.

        Raises:
            NotStorable: it holds what is neither tensors nor plain values.
            Whatever an earlier save has failed of.
        """
        saver = self._saver
        if saver is None:
            raise AssertionError("a run is begun before it is saved to")
        tensors, meta = flattened(state)
        meta["framework"] = self._framework
        tags = [*self.saving.tags(step), *([BEST] if self._is_best(metrics) else [])]
        saver.save(
            tensors, meta, step=step, metrics=metrics, tags=tags, retain=self.saving.retain, hints=hints
        )
        self.saved_step = step

    def check(self) -> None:
        """Raise what an earlier save has failed of."""
        if self._saver is not None:
            self._saver.check()

    def close(self, error: BaseException | None = None) -> None:
        """Bring saves under way to their end. Beside an `error` that ends the training, their own is a note.

        Raises:
            NotDurable, or whatever a save has failed of.
        """
        saver, self._saver = self._saver, None
        if saver is not None:
            saver.__exit__(type(error), error, None) if error is not None else saver.close()

    def _attempt(self) -> str:
        return f"{self._framework.partition(' ')[0]}-{uuid.uuid4().hex}"

    def _open(self, writer: RunWriter) -> None:
        saving = self.saving
        self._saver = BackgroundWriter(
            writer, in_flight=saving.in_flight, encoders=saving.encoders, new_slot=TorchSlot
        )

    def _is_best(self, metrics: Mapping[str, float]) -> bool:
        name = self.saving.best
        if name is None or (value := metrics.get(name)) is None or value != value:
            return False
        if self._best is not None:
            better = value > self._best if self.saving.higher_is_better else value < self._best
            if not better:
                return False
        self._best = value
        return True
