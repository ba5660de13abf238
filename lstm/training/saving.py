"""Who saves in a run: rank 0 alone, or all ranks together where the state is worth it."""

from collections.abc import Mapping
from typing import Any

from lstm.training.config import TrainingConfig
from lstm.training.events import emit
from lstm.training.learner import Learner
from lstm.training.ranks import Ranks
from lstm.training.recorder import Recorder
from lstm.training.side_channel import SideChannel
from storage.checkpoints import (
    BackgroundWriter,
    Commit,
    Helper,
    Helpers,
    Repository,
    Restored,
    RunWriter,
    Spool,
    Tensor,
    worth_sharing,
)


def recorder_of(
    ranks: Ranks,
    config: TrainingConfig,
    learner: Learner,
    writer: RunWriter | None,
    spool: Spool | None,
    repository: Repository,
    restored: Restored,
    constant_tensors: Mapping[str, Tensor],
    constant_meta: Mapping[str, Any],
) -> Recorder:
    """This rank's recorder; all ranks must make theirs at the same point.

    Args:
        ranks: all of the run.
        config: says how many saves may be under way, and on how many threads.
        learner: what is saved.
        writer: on rank 0, what commits.
        spool: on rank 0, where saves wait for the end of an outage.
        repository: where shares of other ranks go.
        restored: what training starts from.
        constant_tensors, constant_meta: what stays the same in all commits.
    """
    helpers: Helpers | None = None
    helper: Helper | None = None
    if ranks.world > 1 and worth_sharing(learner.state_bytes):
        channel = SideChannel()
        if writer is not None:
            helpers = Helpers(channel, ranks.world, on_note=_note)
            writer.store_chunks = helpers.store
        else:
            helper = Helper(
                repository,
                channel,
                (restored.commit.step, restored.tensors),
                in_flight=config.saves_in_flight,
                state_bytes=learner.state_bytes,
                encoders=config.saving_threads,
            )
    saver = None if writer is None else _background(writer, config, spool, learner.state_bytes)
    return Recorder(ranks, saver, constant_tensors, constant_meta, helpers=helpers, helper=helper)


def _background(
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
        on_note=_note,
    )


def _note(text: str) -> None:
    emit("note", message=text)
