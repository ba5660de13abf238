"""Commits of a run in training: every rank brings its part of the state, rank 0 saves it beside training.

Where the state is large, the other ranks copy it too, and store shares of it that rank 0 orders.

Which ranks say what to each other, and when, never depends on how long a save takes: what a save in the
background has failed of is asked for at each step (`failure`), and told to all ranks with that step's losses.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import torch

from lstm.checkpoints.tensors import from_torch
from lstm.training.learner import Learner
from lstm.training.ranks import Ranks
from lstm.training.stop import Stopped
from storage.checkpoints import BackgroundWriter, Commit, Helper, Helpers, LastSave, Tensor


class Recorder:
    """Writes commits: what stays the same in all of them is given once, the rest per commit."""

    def __init__(
        self,
        ranks: Ranks,
        saver: BackgroundWriter[Tensor] | None,
        constant_tensors: Mapping[str, Tensor],
        constant_meta: Mapping[str, Any],
        *,
        helpers: Helpers | None = None,
        helper: Helper | None = None,
    ) -> None:
        """Begin.

        Args:
            ranks: all that train.
            saver: on rank 0, what saves; it is closed at the end. None where nothing is to be saved.
            constant_tensors: in every commit.
            constant_meta: in every commit.
            helpers: on rank 0, those who help `saver`, if any; they are dismissed at the end.
            helper: on each other rank, this rank as one of them.
        """
        self.ranks, self._saver = ranks, saver
        self._helpers, self._helper = helpers, helper
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
        """What a save in the background has failed of; where nothing but helping failed, on other ranks."""
        worker = self._saver or self._helper
        return None if worker is None else worker.failed

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

        self._together(save, lambda helper: helper.hold(tensors, step=meta["step"], hints=learner.hints()))

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

        self._together(save, lambda helper: helper.hold(tensors, step=meta["step"]))
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
        try:
            if self._saver is not None:
                self._saver.__exit__(kind, error, trace)
        finally:
            if self._helpers is not None:
                self._helpers.dismiss()
        if self._helper is not None and (error is None or isinstance(error, Stopped)):
            self._helper.close()  # all ranks end here; where one alone fails, rank 0 stores its share

    def _state(self, learner: Learner) -> dict[str, Tensor]:
        generators = self.ranks.gather(torch.get_rng_state())
        tensors = {**self._constant_tensors, **learner.tensors()}
        return tensors | {f"rng/{rank}": from_torch(state) for rank, state in enumerate(generators)}

    def _together(
        self,
        act: Callable[[BackgroundWriter[Tensor]], None],
        help_: Callable[[Helper], None] = lambda helper: None,
    ) -> None:
        error: Exception | None = None
        try:
            if self._saver is not None:
                act(self._saver)
            if self._helper is not None:
                help_(self._helper)
        except Exception as failed:  # noqa: BLE001 - raised by `together`, on this rank as itself
            error = failed
        self.ranks.together(error)


def _told(last: LastSave) -> str:
    if last.commit is not None:
        return f"step {last.step} is durable"
    kept = f"; step {last.step} waits in the spool of this host" if last.spooled else ""
    durable = (
        "nothing newer than what it began with" if last.durable_step is None else f"step {last.durable_step}"
    )
    return f"step {last.step} did not reach the bucket in time: durable is {durable}{kept}"
