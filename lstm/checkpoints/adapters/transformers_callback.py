"""A callback for Hugging Face's Trainer that saves into a repository; a folder that the Trainer resumes from.

The Trainer resumes from a folder of its own making only. `newest` makes one of a commit, below the machine's
temporary files; in it are files of `torch.save`, which the Trainer reads as weights only. Nothing of that is
in the repository.

A state is taken when the *next* step or epoch begins: evaluations of a step are over then, and that is where
the Trainer sets the random generators when it resumes.
"""

import dataclasses
import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist
import transformers
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from lstm.checkpoints import rng
from lstm.checkpoints.adam_hints import adam_hints
from lstm.checkpoints.nested import of_tensors, path_of
from lstm.checkpoints.run_saver import RunSaver, Saving
from storage.checkpoints import AdamHint, CheckpointError, Commit, Repository


class TrainerNotSupported(CheckpointError):
    """A Trainer whose ranks each hold shards of the state."""


class TransformersCheckpoint(TrainerCallback):  # type: ignore[misc]  # an extra: here or not when types are checked
    """Saves model, optimizer, scheduler, scaler, random generators and the Trainer's own state.

    A run that has commits is gone on with by `trainer.train(resume_from_checkpoint=checkpoint.newest())`, and
    refused otherwise. Used as a context around `train`, saves under way are finished if that fails.
    """

    def __init__(self, trainer: Trainer, repository: Repository, run: str, saving: Saving) -> None:
        """Add it to the trainer; nothing is read or written yet.

        Raises:
            TrainerNotSupported: FSDP or DeepSpeed.
        """
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            raise TrainerNotSupported(
                "under FSDP and DeepSpeed each rank holds shards of the state; save it by"
                " torch.distributed.checkpoint with lstm.checkpoints.dcp_writer.CarouselWriter"
            )
        self.trainer = trainer
        self.saver = RunSaver(repository, run, saving, f"transformers {transformers.__version__}")
        self._metrics: dict[str, float] = {}
        self._epochs = 0
        self._folder: Path | None = None
        trainer.add_callback(self)

    def newest(self) -> str | None:
        """For `resume_from_checkpoint`: a folder of the newest complete commit; None: the run has none.

        Every rank calls it; the first takes the run over. The folder goes when training ends.
        """
        first = self.trainer.args.process_index == 0
        commit = _told_by_the_first(self.saver.newest() if first else None)
        if commit is None:
            return None
        if first:
            found = self.saver.resume(commit.id)
            for note in found.skipped:
                warnings.warn(note, stacklevel=2)
        else:
            found = self.saver.repository.restore(self.saver.run, commit.id)
            self.saver.saved_step = commit.step  # as on the first, so that all save at the same steps
        self._remove_folder()
        self._folder = Path(tempfile.mkdtemp(prefix="carousel-resume-"))
        _write_folder(self._folder, of_tensors(found.tensors, found.meta))
        return str(self._folder)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Begin the run, unless it is gone on with. Raises RunExists."""
        self._epochs = int(state.epoch or 0)
        if state.is_world_process_zero and not self.saver.is_open:
            self.saver.begin()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Keep the metrics for the next commit."""
        metrics = others.get("metrics", {})
        self._metrics |= {name: float(it) for name, it in metrics.items() if isinstance(it, int | float)}

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Save where the step before is due; raise what a save in the background has failed of."""
        self.saver.check()
        if self.saver.saving.due_at_step(state.global_step):
            self._save()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Count."""
        self._epochs += 1

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Save where the epoch before, or its last step, is due."""
        saving = self.saver.saving
        if saving.due_at_step(state.global_step) or (self._epochs and saving.due_after(self._epochs)):
            self._save()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Save what is newer than the last save, and wait until all is durable."""
        self._save()
        self.close()

    def close(self, error: BaseException | None = None) -> None:
        """Bring saves under way to their end. Raises what one of them has failed of."""
        self._remove_folder()
        self.saver.close(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)

    def _save(self) -> None:
        trainer, state = self.trainer, self.trainer.state
        if state.global_step in (0, self.saver.saved_step):
            return
        generators = rng.of_all_ranks()
        trainer.store_flos()  # adds up those of all ranks, which must all call it
        self.saver.saved_step = state.global_step  # on the ranks that only count along
        if not state.is_world_process_zero:
            return
        kept: dict[str, Any] = {
            "model": trainer.model.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "lr_scheduler": trainer.lr_scheduler.state_dict(),
            "rng": generators,
            "trainer_state": _state_of(trainer),
        }
        if (scaler := getattr(trainer.accelerator, "scaler", None)) is not None:
            kept["scaler"] = scaler.state_dict()
        metrics, self._metrics = self._metrics, {}
        self.saver.save(kept, step=state.global_step, metrics=metrics, hints=_hints(trainer))

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _told_by_the_first(commit: Commit | None) -> Commit | None:
    """All ranks go on from one commit, not each from the newest of its moment."""
    if not (dist.is_available() and dist.is_initialized()):
        return commit
    told = [commit]
    dist.broadcast_object_list(told, src=0)
    return told[0]


def _state_of(trainer: Trainer) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The Trainer's own state as it writes it, in JSON; a tensor of bytes, since the log in it grows."""
    stateful: dict[str, Any] = {}
    for callback in (*trainer.callback_handler.callbacks, trainer.control):
        if isinstance(callback, ExportableState):
            name, told = type(callback).__name__, callback.state()
            if name in stateful:  # of several callbacks of one class the Trainer wants a list
                before = stateful[name]
                stateful[name] = [*(before if isinstance(before, list) else [before]), told]
            else:
                stateful[name] = told
    told = dataclasses.asdict(trainer.state) | {"stateful_callbacks": stateful}
    return np.frombuffer(json.dumps(told).encode(), np.uint8)


def _hints(trainer: Trainer) -> list[AdamHint]:
    names = {parameter: path_of("model", name) for name, parameter in trainer.model.named_parameters()}
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)  # accelerate wraps it
    return adam_hints(optimizer, names, partial(path_of, "optimizer", "state"))


def _write_folder(folder: Path, state: Mapping[str, Any]) -> None:
    """As `Trainer._save_checkpoint` lays it out."""
    safetensors.torch.save_file(state["model"], folder / "model.safetensors", {"format": "pt"})
    torch.save(state["optimizer"], folder / "optimizer.pt")
    torch.save(state["lr_scheduler"], folder / "scheduler.pt")
    if "scaler" in state:
        torch.save(state["scaler"], folder / "scaler.pt")
    for rank, kept in enumerate(state["rng"]):
        one = {"python": rng.python_state(kept), "numpy": rng.numpy_state(kept), "cpu": kept["torch"]}
        if "cuda" in kept:
            one["cuda"] = kept["cuda"] if len(kept["cuda"]) > 1 else kept["cuda"][0]
        name = "rng_state.pth" if len(state["rng"]) == 1 else f"rng_state_{rank}.pth"
        torch.save(one, folder / name)
    (folder / "trainer_state.json").write_bytes(state["trainer_state"].tobytes())
