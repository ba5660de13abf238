"""Commits of a run in training: every rank brings its part of the state, rank 0 saves it beside training.

Which ranks say what to each other, and when, never depends on how long a save takes: what a save in the
background has failed of is asked for at each step (`failure`), and told to all ranks with that step's losses.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import torch

from lstm.training.arrays import to_plain
from lstm.training.config import TrainingConfig
from lstm.training.events import emit
from lstm.training.learner import Learner
from lstm.training.ranks import Ranks
from storage.checkpoints import BackgroundWriter, Commit, LastSave, RunWriter, Spool, Tensor


class Recorder:
    """Writes commits: what stays the same in all of them is given once, the rest per commit."""

    def __init__(
        self,
        ranks: Ranks,
        saver: BackgroundWriter[Tensor] | None,
        constant_tensors: Mapping[str, Tensor],
        constant_meta: Mapping[str, Any],
    ) -> None:
        """Take over `saver`, which saves on rank 0; None on others, and where nothing is to be saved."""
        self.ranks, self._saver = ranks, saver
        self._constant_tensors, self._constant_meta = constant_tensors, constant_meta

    @property
    def stored_bytes(self) -> int:
        """Bytes that this attempt's durable commits have added to the repository."""
        return 0 if self._saver is None else self._saver.stored_bytes

    @property
    def newest(self) -> Commit | None:
        """This attempt's newest durable commit; rank 0 only."""
        return None if self._saver is None else self._saver.newest

    def failure(self) -> BaseException | None:
        """What a save in the background has failed of; rank 0 only."""
        return None if self._saver is None else self._saver.failed

    def commit(self, learner: Learner, meta: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Take a copy of the state of all ranks, to be stored beside training.

        Raises:
            TakenOver: another attempt trains this run now; on rank 0.
            RankFailed: saving failed on another rank.
        """
        tensors = self._state(learner)

        def save(saver: BackgroundWriter[Tensor]) -> None:
            full = {**self._constant_meta, **meta}
            saver.save(tensors, full, step=meta["step"], metrics=metrics, hints=learner.hints())

        self._together(save)

    def commit_now(self, learner: Learner, meta: Mapping[str, Any], deadline_s: float) -> str:
        """Make the state of all ranks durable before they are ended.

        Returns:
            What became of it, in plain words, on every rank.

        Raises:
            As `commit`.
        """
        tensors = self._state(learner)
        saved: list[LastSave] = []

        def save(saver: BackgroundWriter[Tensor]) -> None:
            full = {**self._constant_meta, **meta}
            saved.append(saver.save_now(tensors, full, step=meta["step"], deadline_s=deadline_s))

        self._together(save)
        return self.ranks.share(_told(saved[0]) if saved else None)

    def settle(self, timeout_s: float) -> None:
        """Return once all commits are durable.

        Raises:
            NotDurable: some are not in time; on rank 0.
            RankFailed: on the others.
        """
        self._together(lambda saver: saver.wait(timeout_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Bring what is under way to its end, whatever ends the block."""
        if self._saver is not None:
            self._saver.__exit__(kind, error, trace)

    def _state(self, learner: Learner) -> dict[str, Tensor]:
        generators = self.ranks.gather(torch.get_rng_state())
        tensors = {**self._constant_tensors, **learner.tensors()}
        return tensors | {f"rng/{rank}": to_plain(state) for rank, state in enumerate(generators)}

    def _together(self, act: Callable[[BackgroundWriter[Tensor]], None]) -> None:
        error: Exception | None = None
        if self._saver is not None:
            try:
                act(self._saver)
            except Exception as failed:  # noqa: BLE001 - raised by `together`, on this rank as itself
                error = failed
        self.ranks.together(error)


def background(
    writer: RunWriter, config: TrainingConfig, spool: Spool | None, state_bytes: int
) -> BackgroundWriter[Tensor]:
    """Rank 0's saver: it tells of each commit when that is durable, and of outages."""

    def told(commit: Commit) -> None:
        emit(
            "checkpoint",
            step=commit.step,
            commit=commit.id,
            metrics=dict(commit.metrics),
            raw_bytes=commit.raw_bytes,
            new_bytes=commit.new_bytes,
        )

    return BackgroundWriter(
        writer,
        in_flight=config.saves_in_flight,
        state_bytes=state_bytes,
        encoders=config.saving_threads,
        spool=spool,
        on_durable=told,
        on_note=lambda text: emit("note", message=text),
    )


def _told(last: LastSave) -> str:
    if last.commit is not None:
        return f"step {last.step} is durable"
    kept = f"; step {last.step} waits in the spool of this host" if last.spooled else ""
    durable = (
        "nothing newer than what it began with" if last.durable_step is None else f"step {last.durable_step}"
    )
    return f"step {last.step} did not reach the bucket in time: durable is {durable}{kept}"
