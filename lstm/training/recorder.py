"""Commits of a run in training: every rank brings its part of the state, rank 0 writes the commit."""

from collections.abc import Mapping
from typing import Any

import torch

from lstm.training.arrays import to_plain
from lstm.training.events import emit
from lstm.training.learner import Learner
from lstm.training.ranks import Ranks
from storage.checkpoints import RunWriter, Tensor


class Recorder:
    """Writes commits: what stays the same in all of them is given once, the rest per commit."""

    def __init__(
        self,
        ranks: Ranks,
        writer: RunWriter | None,
        constant_tensors: Mapping[str, Tensor],
        constant_meta: Mapping[str, Any],
    ) -> None:
        assert ranks.first == (writer is not None)
        self.ranks, self.writer = ranks, writer
        self.constant_tensors, self.constant_meta = constant_tensors, constant_meta
        self.stored_bytes = 0
        """Bytes that this attempt's commits have added to the repository."""
        self.newest: str | None = None
        """Id of this attempt's newest commit; rank 0 only."""

    def commit(self, learner: Learner, meta: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Store the state of all ranks; returns once it is durable.

        Raises:
            TakenOver: another attempt trains this run now; on rank 0.
            RankFailed: saving failed on another rank.
        """
        generators = self.ranks.gather(torch.get_rng_state())
        error: Exception | None = None
        if self.writer is not None:
            try:
                self._write(self.writer, generators, learner, meta, metrics)
            except Exception as failed:  # noqa: BLE001 - raised by `together`, on this rank as itself
                error = failed
        self.ranks.together(error)

    def _write(
        self,
        writer: RunWriter,
        generators: list[torch.Tensor],
        learner: Learner,
        meta: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> None:
        tensors = {**self.constant_tensors, **learner.tensors()}
        tensors |= {f"rng/{rank}": to_plain(state) for rank, state in enumerate(generators)}
        commit = writer.save(tensors, {**self.constant_meta, **meta}, step=meta["step"], metrics=metrics)
        self.stored_bytes += commit.new_bytes
        self.newest = commit.id
        emit(
            "checkpoint",
            step=commit.step,
            commit=commit.id,
            metrics=dict(metrics),
            raw_bytes=commit.raw_bytes,
            new_bytes=commit.new_bytes,
        )
