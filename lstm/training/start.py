"""From a job to the commit that training starts from: a fresh run is a resume of its commit of step 0.

Rank 0 creates the run or takes it over. Where the run has no commit yet, it plans the windows of the
pinned snapshot, measures the scaling, draws the first weights, and commits all of it as step 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from blake3 import blake3
from torch import nn

from lstm.checkpoints.tensors import from_torch
from lstm.tasks.forecast import ForecastTask
from lstm.training.early_stopping import EarlyStopping
from lstm.training.environment import environment
from lstm.training.job import Job
from lstm.training.learner import Learner
from lstm.training.moving import MOVES, is_moved, moved_state, moved_task, told
from lstm.training.planning import plan_for
from lstm.training.written_by import written_by
from lstm.windows import SPLITS, Plan
from storage.checkpoints import Repository, Restored, RunExists, RunWriter, Spool, Tensor, recover
from storage.errors import UserError
from storage.objects import Bucket
from storage.tables import Lake, Snapshot, open_table


class RunHasCommits(UserError):
    """`train` was asked for a run that has begun already."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where rank 0 begins: its right to commit, and the commit that every rank restores."""

    writer: RunWriter
    commit: str
    notes: tuple[str, ...] = ()
    """Plain words about states of the spool, and damaged commits that were passed over."""


def begin(
    job: Job,
    lake: Lake,
    data: Lake,
    repository: Repository,
    *,
    attempt: str,
    resume: bool,
    spool: Spool | None = None,
) -> Start:
    """Create the run or take it over; called by rank 0 only.

    Args:
        job: what is trained.
        lake: how the repository's bucket is reached; what is learned about the table is kept there too.
        data: how the table is reached; it is only read.
        repository: where the run is.
        attempt: names this launch.
        resume: go on with a run that has commits.
        spool: what an earlier attempt on this host could not bring to the bucket, if anything.

    Raises:
        RunHasCommits: the run has commits, and `resume` was not asked for.
    """
    try:
        writer = RunWriter.create(repository, job.run, attempt)
    except RunExists:
        commits = repository.commits(job.run)
        if commits and not resume:
            raise RunHasCommits(
                f"run {job.run!r} has {len(commits)} commits already, the newest of step "
                f"{max(commit.step for commit in commits)}; `carousel resume` goes on with it, "
                "or give this run another name"
            ) from None
        writer = RunWriter.take_over(repository, job.run, attempt)
        if commits:
            recovered = recover(spool, writer) if spool else ()
            newest = writer.resume()
            start = Start(writer, newest.commit.id, (*recovered, *newest.skipped))
            return _moved(job, lake, data, start, newest) if is_moved(job, newest) else start
    return Start(writer, _first_commit(job, lake, data, writer))


def _moved(job: Job, lake: Lake, data: Lake, start: Start, restored: Restored) -> Start:
    """The commit with which a run goes on with the snapshot that its job asks for."""
    plan = plan_for(job, pinned_snapshot(job, data), Bucket(job.bucket, lake.access))
    task = moved_task(restored, plan, f"{job.run}/{start.commit}")
    tensors, progress = moved_state(restored, job, plan, plan_tensor(plan))
    meta = {**constant_meta(job, task, plan, task.build_model()), **progress}
    commit = start.writer.save(tensors, meta, step=restored.commit.step)
    return Start(start.writer, commit.id, (*start.notes, told(restored, plan)))


def pinned_snapshot(job: Job, data: Lake) -> Snapshot:
    """The one version of the table that this run reads."""
    table = open_table(data, job.table.uri, format=job.table.format)
    return table.snapshot(job.table.snapshot)


def plan_of(restored: Restored) -> Plan:
    """The plan that the run froze in its first commit."""
    return Plan.from_bytes(bytes(restored.tensors["plan"].data))


def plan_tensor(plan: Plan) -> Tensor:
    """The plan as a tensor of bytes: equal in all commits, so it is stored once."""
    data = plan.to_bytes()
    return Tensor("uint8", (len(data),), data)


def constant_meta(
    job: Job, task: ForecastTask, plan: Plan, model: nn.Module, moves: Sequence[Any] = ()
) -> dict[str, Any]:
    """What every commit of an attempt says beside its tensors and its progress.

    `moves`: changes of the snapshot so far, as a commit's meta tells of them.
    """
    return {
        **({MOVES: list(moves)} if moves else {}),
        "job": job.to_json(),
        "task": task.state(),
        "plan_id": plan.id,
        "snapshot": {"table": plan.table, "id": plan.snapshot_id},
        "windows": {split: plan.windows(split) for split in SPLITS},
        "environment": environment(job.training.ranks),
        "written_by": written_by(model),
    }


def seed_generator(job: Job, step: int, rank: int) -> None:
    """Seed torch's generator for a rank that has no recorded state: all ranks differ, at any step."""
    key = f"{job.training.seed} {step} {rank}".encode()
    torch.manual_seed(int.from_bytes(blake3(key).digest(length=8), "little", signed=True))


def _first_commit(job: Job, lake: Lake, data: Lake, writer: RunWriter) -> str:
    snapshot = pinned_snapshot(job, data)
    plan = plan_for(job, snapshot, Bucket(job.bucket, lake.access))
    task = ForecastTask.fit(job.forecast, snapshot, plan)
    torch.manual_seed(job.training.seed)
    learner = Learner.of(task.build_model(), job.training)
    tensors = {**learner.tensors(), "plan": plan_tensor(plan)}
    for rank in range(job.training.ranks):
        seed_generator(job, 0, rank)
        tensors[f"rng/{rank}"] = from_torch(torch.get_rng_state())
    first = {
        "step": 0,
        "cursor": None,  # the beginning
        "early_stopping": EarlyStopping(patience=job.training.patience).state(),
        "finished": False,
    }
    return writer.save(tensors, {**constant_meta(job, task, plan, learner.model), **first}, step=0).id
