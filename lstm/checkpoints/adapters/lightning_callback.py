"""A Lightning callback that saves into a repository, and lets `fit(ckpt_path=…)` go on from there.

Lightning knows checkpoints as paths. Here a path is `carousel:RUN/COMMIT`; while the callback is in place,
such paths are read from and written to the repository, and all others as before. Lightning restores what it
saves, in its own order; the states of the random generators, which it leaves out, are the callback's.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.trainer.states import TrainerFn

from lstm.checkpoints import rng
from lstm.checkpoints.adam_hints import adam_hints
from lstm.checkpoints.nested import of_tensors, path_of
from lstm.checkpoints.run_saver import RunSaver, Saving
from storage.checkpoints import AdamHint, CheckpointError, Repository

_SCHEME = "carousel:"
_RNG = "carousel_rng"


class StrategyNotSupported(CheckpointError):
    """A strategy whose ranks each write their own shards."""


class LightningCheckpoint(Checkpoint):  # type: ignore[misc]  # an extra: here or not when types are checked
    """Saves model, optimizers, schedulers, loops and random generators of a fit.

    A run that has commits is gone on with by `fit(ckpt_path=checkpoint.newest())`, and refused otherwise.
    Between the ends of epochs a resume is exact if the data loader has a `state_dict`, as Lightning asks for.
    """

    def __init__(self, repository: Repository, run: str, saving: Saving) -> None:
        """Prepare; nothing is read or written yet."""
        super().__init__()
        self.saver = RunSaver(repository, run, saving, f"lightning {lightning.__version__}")
        self._trainer: Trainer | None = None
        self._generators: dict[str, Any] | None = None
        self._mid_epoch = False

    def newest(self) -> str | None:
        """For `ckpt_path`: the run's newest complete commit; None: there is none, so the fit begins anew.

        Ranks may find different ones, as they ask before they are joined and the first may commit meanwhile:
        all go on from what the first one gives to `fit`, or begin with it.
        """
        commit = self.saver.newest()
        return None if commit is None else f"{_SCHEME}{self.saver.run}/{commit.id}"

    def path(self, commit: str, run: str | None = None) -> str:
        """For `ckpt_path`: a commit by its id or tag ("best"), of this run or another one."""
        run = run or self.saver.run
        return f"{_SCHEME}{run}/{self.saver.repository.restore(run, commit, names=()).commit.id}"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the strategy read and write our paths, and all ranks go on from the first one's.

        Raises:
            StrategyNotSupported: its ranks write shards.
        """
        strategy = trainer.strategy
        if type(strategy).save_checkpoint is not Strategy.save_checkpoint:
            raise StrategyNotSupported(
                f"{type(strategy).__name__} saves by itself, each rank its shards; save such a state by"
                " torch.distributed.checkpoint with lstm.checkpoints.dcp_writer.CarouselWriter"
            )
        self._trainer = trainer
        if not isinstance(strategy.checkpoint_io, _RepositoryIO):
            strategy.checkpoint_io = _RepositoryIO(strategy.checkpoint_io, self)
        if stage == "fit":
            _follow_the_first(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the run, unless it is gone on with. Raises RunExists."""
        if trainer.is_global_zero and not self.saver.is_open:
            self.saver.begin()
        self._set_generators(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Within an epoch, the data loader was begun for the second time: take that back."""
        if self._generators is not None and self._generators["mid_epoch"]:
            self._set_generators(trainer)
        self._generators = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Raise what a save in the background has failed of."""
        self.saver.check()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where a step is due; the last one of an epoch is saved at its end, with its metrics."""
        if self.saver.saving.due_at_step(trainer.global_step) and not trainer.is_last_batch:
            self._save(trainer, mid_epoch=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save where an epoch is due."""
        saving = self.saver.saving
        if saving.due_after(trainer.current_epoch + 1) or saving.due_at_step(trainer.global_step):
            self._save(trainer, mid_epoch=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what is newer than the last save, and wait until all is durable."""
        self._save(trainer, mid_epoch=False)
        self.saver.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Bring what is under way to its end; the exception stands."""
        self.saver.close(exception)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the random generators of all ranks; Lightning calls this on each."""
        checkpoint[_RNG] = {"ranks": rng.of_all_ranks(), "mid_epoch": self._mid_epoch}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the generators' states until the loops begin."""
        self._generators = checkpoint.get(_RNG)

    def store(self, checkpoint: Mapping[str, Any]) -> None:
        """Take a copy of what Lightning saves, on the rank that writes."""
        trainer = self._trainer
        if trainer is None:
            raise AssertionError("Lightning sets a callback up before it saves")
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.saver.save(checkpoint, step=trainer.global_step, metrics=metrics, hints=_hints(trainer))

    def load(self, path: str) -> dict[str, Any]:
        """What a path of ours names; a fit of the same run takes the run over."""
        trainer = self._trainer
        run, _, commit = path.removeprefix(_SCHEME).partition("/")
        fits = trainer is not None and trainer.state.fn == TrainerFn.FITTING and trainer.is_global_zero
        if fits and run == self.saver.run:
            found = self.saver.resume(commit)
            for note in found.skipped:
                warnings.warn(note, stacklevel=2)
        else:
            found = self.saver.repository.restore(run, commit)
            if fits:
                self.saver.begin(likely=(run,))
        return of_tensors(found.tensors, found.meta)

    def _save(self, trainer: Trainer, *, mid_epoch: bool) -> None:
        step = trainer.global_step
        if step != trainer.strategy.broadcast(self.saver.saved_step):
            self._mid_epoch = mid_epoch
            trainer.save_checkpoint(f"{_SCHEME}{self.saver.run}/step-{step}")

    def _set_generators(self, trainer: Trainer) -> None:
        if self._generators is not None and not rng.set_for_rank(
            self._generators["ranks"], trainer.global_rank
        ):
            warnings.warn("the checkpoint was saved by fewer ranks; this one draws anew", stacklevel=2)


class _RepositoryIO(CheckpointIO):  # type: ignore[misc]  # as above
    """Reads and writes our paths through the callback, and all others as before."""

    def __init__(self, others: CheckpointIO, callback: LightningCheckpoint) -> None:
        self._others, self._callback = others, callback

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        if _is_ours(path):
            self._callback.store(checkpoint)
        else:
            self._others.save_checkpoint(checkpoint, path, storage_options=storage_options)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if _is_ours(path):
            return self._callback.load(str(path))
        loaded: dict[str, Any] = self._others.load_checkpoint(path, *args, **kwargs)
        return loaded

    def remove_checkpoint(self, path: Any) -> None:
        self._others.remove_checkpoint(path)

    def teardown(self) -> None:
        self._others.teardown()


def _follow_the_first(trainer: Trainer) -> None:
    """Let every rank resume from the path of the first, or from none, where one of them has a path of ours.

    The path is known to Lightning alone, when it resumes: each rank calls this with its own, which may be
    None. One that resumes while another does not would wait for it without end.
    """
    connector = trainer._checkpoint_connector
    resume_start = connector.resume_start
    if getattr(resume_start, "func", None) is _resume_as_the_first:
        return
    connector.resume_start = partial(_resume_as_the_first, trainer, resume_start)


def _resume_as_the_first(
    trainer: Trainer,
    resume_start: Callable[..., None],
    checkpoint_path: Any = None,
    *args: Any,
    **kwargs: Any,
) -> None:
    if trainer.state.fn == TrainerFn.FITTING:
        first = trainer.strategy.broadcast(checkpoint_path)
        if _is_ours(first) or _is_ours(checkpoint_path):
            checkpoint_path = first
    resume_start(checkpoint_path, *args, **kwargs)


def _is_ours(path: object) -> bool:
    return str(path).startswith(_SCHEME)


def _hints(trainer: Trainer) -> list[AdamHint]:
    names = {
        parameter: path_of("state_dict", name)
        for name, parameter in trainer.lightning_module.named_parameters()
    }
    hints: list[AdamHint] = []
    for at, optimizer in enumerate(trainer.optimizers):
        plain = optimizer if isinstance(optimizer, torch.optim.Optimizer) else optimizer.optimizer
        hints += adam_hints(plain, names, partial(path_of, "optimizer_states", at, "state"))
    return hints
