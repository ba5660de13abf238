"""`torch.distributed.checkpoint` saves into a repository.

Every rank stores the chunks that it owns of the shards that the plan gives it; the coordinator commits. So no
rank ever holds the whole state, and since chunks are cut on whole tensors, a state that was saved from
another world stores nothing twice. How: `storage.checkpoints.sharded`. Between the ranks of one job PyTorch's
own collectives pickle plans; what this adds does not, nor does what is stored.
"""

import os
import uuid
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner, WriteItemType
from torch.distributed.checkpoint.storage import StorageWriter, WriteResult
from torch.futures import Future

from lstm.checkpoints.dcp_group import ProcessGroup
from lstm.checkpoints.dcp_hints import hints_of
from lstm.checkpoints.dcp_kept import Kept, kept_here
from lstm.checkpoints.dcp_metadata import is_tag, to_meta
from lstm.checkpoints.dcp_roll_call import RollCall
from lstm.checkpoints.tensors import TensorShard
from lstm.checkpoints.values import NotStorable, to_json
from storage.checkpoints.errors import CheckpointError, HeadLost, RunMissing
from storage.checkpoints.format.head import Commit, newest_first
from storage.checkpoints.format.names import checked_tags
from storage.checkpoints.repository import Repository
from storage.checkpoints.save.delta_policy import DeltaPolicy
from storage.checkpoints.save.writer import RunWriter
from storage.checkpoints.sharded import ShardedSaver, joined


class CheckpointExists(CheckpointError):
    """The run has a checkpoint of this step or this name already; nothing is overwritten."""


class CarouselWriter(StorageWriter):
    """For `dcp.save` and `dcp.async_save`. One may be used for many saves of a run.

    `checkpoint_id` becomes the commit's tag. The first save takes over a run that is there already. It can be
    pickled: what its copies have saved with in another process is found there by the next copy.
    """

    def __init__(
        self,
        repository: Repository,
        run: str | RunWriter,
        *,
        step: int | None = None,
        tag: str | None = None,
        process_group: dist.ProcessGroup | None = None,
        deltas: DeltaPolicy | None = None,
        patience: float = 120.0,
    ) -> None:
        """Set up, on each rank; nothing is read or written yet.

        Args:
            repository: where; each rank opens it.
            run: its name; or a writer that is open already, on the coordinator.
            step: of the next save; None: one more than the run's newest.
            tag: names the commit, as `checkpoint_id` does.
            process_group: the one that is given to `dcp.save`, if any.
            deltas: how far a further save by this writer may rest on its last one, of which each rank keeps
                what it has stored; `DeltaPolicy(read_limit=0)` keeps nothing. None: as `DeltaPolicy()`, or as
                the open writer says.
            patience: seconds that ranks which have begun to write wait for those that have not, as their
                planner has failed; then all ranks raise.
        """
        self.repository, self.step, self.tag, self.process_group = repository, step, tag, process_group
        self.commit: Commit | None = None
        """Of the last save; only the coordinator has it, and only in the process that has saved."""
        self._run = run if isinstance(run, str) else run.run
        self._kept = Kept(writer=None if isinstance(run, str) else run)
        self._name = uuid.uuid4().hex
        self._deltas = deltas
        self._patience = patience
        self._alone = False
        self._save_id = ""

    def __getstate__(self) -> dict[str, Any]:
        """Raises ValueError: it holds an open writer or a process group, which stay in their process."""
        if self._kept.writer is not None or self.process_group is not None:
            raise ValueError(
                "a CarouselWriter that has saved here, or was given an open writer or a process_group, cannot"
                " go to another process (AsyncCheckpointerType.PROCESS); make another, of a run's name"
            )
        return {name: value for name, value in vars(self).items() if name != "_kept"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._kept = kept_here(self._name)

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin a save. Raises InvalidName: no commit can be tagged so."""
        if checkpoint_id is not None:
            (self.tag,) = checked_tags((os.fspath(checkpoint_id),))
        self._save_id, self._alone = uuid.uuid4().hex, False

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Raises ValueError for ways to save that this cannot do; the coordinator opens the run later."""
        if not kwargs.get("use_collectives", True):
            raise ValueError(
                "use_collectives=False lets each rank save by itself, but a run's checkpoint is one of all"
                " ranks; leave it out"
            )

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """As it is."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Raises CheckpointExists, ValueError (another process group), before any rank sends."""
        self._alone = len(plans) == 1
        if not self._alone and len(plans) != dist.get_world_size(self.process_group):
            raise ValueError(
                f"{len(plans)} ranks save, but the writer's process group has"
                f" {dist.get_world_size(self.process_group)}; give CarouselWriter the process_group that"
                " dcp.save gets"
            )
        kept = self._kept
        if kept.writer is None:
            kept.writer = _opened(self.repository, self._run)
        if self._deltas is not None:
            kept.writer.deltas = self._deltas
        for commit in self.repository.commits(self._run):
            if commit.step == self.step or self.tag in commit.tags:
                raise CheckpointExists(
                    f"Checkpoint already exists: run {self._run!r} has one of step {commit.step}, with the"
                    f" tags {list(commit.tags)}; choose another step or checkpoint_id, or drop that commit"
                )
        if not self._alone:
            self._ranks().begin()
        return plans

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Store this rank's part; on the coordinator, commit too.

        Raises:
            NotStorable, ValueError: a value or tensor that cannot be stored; names the key.
            HelperFailed: another rank could not do its part.
            Whatever `RunWriter.save` does.
        """
        if self._alone:
            shards, values = _resolved(plan, planner)
            by_name: dict[str, list[TensorShard]] = {}
            for shard in shards:
                by_name.setdefault(shard.tensor, []).append(shard)
            tensors = {name: joined(them) for name, them in by_name.items()}
            metadata = _metadata(planner)
            self.commit = self._open_writer().save(
                tensors,
                to_meta(metadata, values),
                step=self._step(),
                tags=self._tags(),
                hints=hints_of(metadata.planner_data or {}, values, tensors),
            )
        else:
            self._write_together(plan, planner)
        done: Future[list[WriteResult]] = Future()
        done.set_result([WriteResult(item.index, 0, None) for item in plan.items])
        return done

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Nothing to do: the coordinator has committed."""

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether it can be a commit's tag. In which repository, only a writer that is given says."""
        return is_tag(checkpoint_id)

    def storage_meta(self) -> StorageMeta:
        """For planners that ask."""
        return StorageMeta(checkpoint_id=self.tag, save_id=self._save_id)

    def _write_together(self, plan: SavePlan, planner: SavePlanner) -> None:
        kept, leader = self._kept, self._ranks().answer()
        if kept.saver is None or leader != kept.leader:
            group = ProcessGroup(self.process_group, leader)
            keeps = (self._deltas or DeltaPolicy()).read_limit > 0
            kept.saver, kept.leader = ShardedSaver(self.repository.shelf, group, keeps=keeps), leader
        error: Exception | None = None
        shards: list[TensorShard] = []
        values: dict[str, Any] = {}
        try:
            shards, values = _resolved(plan, planner)
        except Exception as failed:  # noqa: BLE001 - raised once the other ranks know
            error = failed
        if kept.writer is None or dist.get_rank(self.process_group) != leader:
            kept.saver.follow(shards, values, error)
            return
        self.commit = kept.saver.lead(
            kept.writer,
            shards,
            values,
            step=self._step(),
            meta=lambda them: to_meta(_metadata(planner), dict(them)),
            tags=self._tags(),
            error=error,
        )

    def _ranks(self) -> RollCall:
        kept = self._kept
        if kept.roll_call is None:
            kept.roll_call = RollCall(self.process_group, self._patience)
        return kept.roll_call

    def _open_writer(self) -> RunWriter:
        if self._kept.writer is None:
            raise AssertionError("the coordinator opens the run when it plans")
        return self._kept.writer

    def _step(self) -> int:
        if self.step is not None:
            return self.step
        newest = newest_first(self.repository.commits(self._run))
        return newest[0].step + 1 if newest else 0

    def _tags(self) -> tuple[str, ...]:
        return () if self.tag is None else (self.tag,)


def _opened(repository: Repository, run: str) -> RunWriter:
    attempt = f"dcp-{uuid.uuid4().hex}"
    try:
        repository.head(run)
    except HeadLost:
        raise
    except RunMissing:
        return RunWriter.create(repository, run, attempt)
    return RunWriter.take_over(repository, run, attempt)


def _metadata(planner: SavePlanner) -> Metadata:
    """What the planner has made on the coordinator."""
    metadata = getattr(planner, "metadata", None)
    if not isinstance(metadata, Metadata):
        raise NotStorable(
            f"{type(planner).__name__} does not say what it has planned; derive it from DefaultSavePlanner"
        )
    return metadata


def _resolved(plan: SavePlan, planner: SavePlanner) -> tuple[list[TensorShard], dict[str, Any]]:
    """What a rank stores: shards, and values as JSON. Raises NotStorable, ValueError."""
    shards: list[TensorShard] = []
    values: dict[str, Any] = {}
    for item in plan.items:
        name = item.index.fqn
        if item.type == WriteItemType.BYTE_IO:
            lookup = getattr(planner, "lookup_object", None)  # resolve_data would pickle
            if lookup is None:
                raise NotStorable(
                    f"{type(planner).__name__} cannot give {name!r} unpickled; derive it from"
                    " DefaultSavePlanner"
                )
            values[name] = to_json(name, lookup(item.index))
            continue
        tensor = planner.resolve_data(item)
        if not isinstance(tensor, torch.Tensor) or item.tensor_data is None:
            raise NotStorable(f"the planner resolves {name!r} to a {type(tensor).__name__}, not to a tensor")
        data = item.tensor_data
        try:
            shard = TensorShard(name, tuple(data.size), tuple(data.chunk.offsets), tensor)
        except ValueError as error:
            raise NotStorable(f"{name!r}: {error}") from error
        shards.append(shard)
    return shards, values
