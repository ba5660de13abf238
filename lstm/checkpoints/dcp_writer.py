"""`torch.distributed.checkpoint` saves into a repository.

Every rank sends copies of the shards that the plan gives it through the process group to the coordinator,
which puts whole tensors together and commits them. So a chunk's identity rests on no rank and no world size,
and a state that was saved from another world stores nothing twice. The cost: the coordinator holds the whole
state (and, while it joins a tensor, that one twice), and all of it passes through the group. That transfer
pickles, between ranks of one job that trust each other; what is stored never does.
"""

import math
import os
import uuid
from dataclasses import dataclass
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner, WriteItem, WriteItemType
from torch.distributed.checkpoint.storage import StorageWriter, WriteResult
from torch.futures import Future

from lstm.checkpoints.dcp_metadata import is_tag, to_meta
from lstm.checkpoints.tensors import from_torch
from lstm.checkpoints.values import NotStorable, to_json
from storage.checkpoints.errors import CheckpointError, RunMissing
from storage.checkpoints.head import Commit, newest_first
from storage.checkpoints.repository import Repository
from storage.checkpoints.writer import RunWriter


class CheckpointExists(CheckpointError):
    """The run has a checkpoint of this step or this name already; nothing is overwritten."""


@dataclass(frozen=True, slots=True)
class _Shard:
    offsets: tuple[int, ...]
    data: torch.Tensor


class CarouselWriter(StorageWriter):
    """For `dcp.save` and `dcp.async_save`. One may be used for many saves of a run.

    `checkpoint_id` becomes the commit's tag. The first save takes over a run that is there already.
    """

    def __init__(
        self, repository: Repository, run: str | RunWriter, *, step: int | None = None, tag: str | None = None
    ) -> None:
        """Set up; nothing is read or written yet.

        Args:
            repository: where.
            run: its name; or a writer that is open already, so that deltas rest on its last save.
            step: of the next save; None: one more than the run's newest.
            tag: names the commit, as `checkpoint_id` does.
        """
        self.repository, self.step, self.tag = repository, step, tag
        self.commit: Commit | None = None
        """Of the last save; only the coordinator has it."""
        self._run = run if isinstance(run, str) else run.run
        self._writer = None if isinstance(run, str) else run
        self._save_id = ""

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin a save."""
        if checkpoint_id is not None:
            self.tag = os.fspath(checkpoint_id)
        self._save_id = uuid.uuid4().hex

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the run is opened by the coordinator once it has the plan."""

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """As it is."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Raises CheckpointExists, before any rank sends."""
        if self._writer is None:
            self._writer = _opened(self.repository, self._run)
        for commit in self.repository.commits(self._run):
            if commit.step == self.step or self.tag in commit.tags:
                raise CheckpointExists(
                    f"run {self._run!r} has a checkpoint of step {commit.step} already, with the tags"
                    f" {list(commit.tags)}; choose another step or checkpoint_id, or drop that commit"
                )
        return plans

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """This rank's shards and values, for the coordinator. Raises NotStorable, naming the key."""
        done: Future[list[WriteResult]] = Future()
        done.set_result([_resolved(item, planner) for item in plan.items])
        return done

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Commit, on the coordinator. Raises as `RunWriter.save`."""
        shards: dict[str, list[_Shard]] = {}
        values: dict[str, Any] = {}
        for result in (it for of_rank in results for it in of_rank):
            if isinstance(result.storage_data, _Shard):
                shards.setdefault(result.index.fqn, []).append(result.storage_data)
            else:
                values[result.index.fqn] = result.storage_data
        tensors = {}
        for name in sorted(shards):
            stored = metadata.state_dict_metadata[name]
            if not isinstance(stored, TensorStorageMetadata):
                raise AssertionError(f"the plan has shards of {name!r}, its metadata none")
            tensors[name] = from_torch(_joined(name, stored.size, shards.pop(name)))
        writer = self._writer
        if writer is None:
            raise AssertionError("the coordinator opens the run when it plans")
        step = self.step
        if step is None:
            newest = newest_first(self.repository.commits(self._run))
            step = newest[0].step + 1 if newest else 0
        tags = () if self.tag is None else (self.tag,)
        self.commit = writer.save(tensors, to_meta(metadata, values), step=step, tags=tags)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether it can be a commit's tag. In which repository, only a writer that is given says."""
        return is_tag(checkpoint_id)

    def storage_meta(self) -> StorageMeta:
        """For planners that ask."""
        return StorageMeta(checkpoint_id=self.tag, save_id=self._save_id)


def _opened(repository: Repository, run: str) -> RunWriter:
    attempt = f"dcp-{uuid.uuid4().hex}"
    try:
        repository.head(run)
    except RunMissing:
        return RunWriter.create(repository, run, attempt)
    return RunWriter.take_over(repository, run, attempt)


def _resolved(item: WriteItem, planner: SavePlanner) -> WriteResult:
    name = item.index.fqn
    if item.type == WriteItemType.BYTE_IO:
        lookup = getattr(planner, "lookup_object", None)  # resolve_data would pickle
        if lookup is None:
            raise NotStorable(
                f"{type(planner).__name__} cannot give {name!r} unpickled; derive it from DefaultSavePlanner"
            )
        return WriteResult(item.index, 0, to_json(name, lookup(item.index)))
    tensor = planner.resolve_data(item)
    if not isinstance(tensor, torch.Tensor) or item.tensor_data is None:
        raise NotStorable(f"the planner resolves {name!r} to a {type(tensor).__name__}, not to a tensor")
    plain = tensor.detach().cpu().contiguous().clone()  # a view would be sent with all of its storage
    offsets = tuple(item.tensor_data.chunk.offsets)
    return WriteResult(item.index, plain.nbytes, _Shard(offsets, plain))


def _joined(name: str, size: torch.Size, shards: list[_Shard]) -> torch.Tensor:
    """The whole tensor. Raises ValueError: shards do not cover it."""
    if len(shards) == 1 and shards[0].data.shape == size:
        return shards[0].data
    covered = sum(shard.data.numel() for shard in shards)
    if covered != math.prod(size):
        raise ValueError(f"the shards of {name!r} hold {covered} of {math.prod(size)} elements")
    whole = torch.empty(size, dtype=shards[0].data.dtype)
    for shard in shards:
        part = whole
        for axis, (begin, length) in enumerate(zip(shard.offsets, shard.data.shape, strict=True)):
            part = part.narrow(axis, begin, length)
        part.copy_(shard.data)
    return whole
