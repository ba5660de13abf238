"""One rank: what torchrun starts. `python -m lstm.training.worker`, with the job in its environment.

Rank 0 begins or takes over the run; then all ranks restore the same commit, the first one included, so
that a fresh run and a resumed one go through the same code.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch

from lstm.checkpoints.tensors import to_torch
from lstm.training.environment import differences, environment
from lstm.training.events import emit, emit_error
from lstm.training.job import Job
from lstm.training.learner import Learner
from lstm.training.lifeline import PARENT, die_with_parent
from lstm.training.loop import Trainer
from lstm.training.moving import MOVES
from lstm.training.ranks import RankFailed, Ranks
from lstm.training.saving import recorder_of
from lstm.training.start import (
    Start,
    begin,
    constant_meta,
    pinned_snapshot,
    plan_of,
    plan_tensor,
    seed_generator,
)
from lstm.training.stop import StopSignal
from lstm.training.written_by import check_same, task_of
from lstm.windows import WindowReader, WindowStream
from storage.checkpoints import OuterKey, Repository, Restored, Spool, spool_folder
from storage.disk_cache import DiskCache
from storage.errors import UserError
from storage.objects import Access, Bucket
from storage.tables import CatalogSettings, Lake

JOB = "CAROUSEL_JOB"
LAKE = "CAROUSEL_LAKE"
DATA = "CAROUSEL_DATA"
ATTEMPT = "CAROUSEL_ATTEMPT"
RESUME = "CAROUSEL_RESUME"
SPOOL = "CAROUSEL_SPOOL"
"""Folder of this host that keeps saves while the bucket is out; unset: none does."""
DISK_CACHE = "CAROUSEL_DISK_CACHE"
"""Folder of this host that keeps the table's bytes between epochs; unset: none does."""


def train(job: Job, lake: Lake, data: Lake, ranks: Ranks, *, attempt: str, resume: bool) -> None:
    """This rank's part of a run, from where it stands to its end; `data` is only read."""
    spool = _spool(job, lake) if ranks.first else None
    start = _begin_together(job, lake, data, ranks, spool, attempt=attempt, resume=resume)
    commit = ranks.share(start.commit if start else None)
    repository = Repository.open(
        Bucket(job.bucket, lake.access), job.repository, key=OuterKey.from_environment()
    )
    restored = repository.restore(job.run, commit)
    stop = StopSignal()
    trainer = _trainer(job, data, ranks, repository, restored, start, spool, stop)
    if ranks.first:
        notes = differences(restored.meta["environment"], environment(ranks.world))
        emit(
            "started",
            step=trainer.step,
            steps=job.training.steps,
            ranks=ranks.world,
            resumed_from=commit if resume else None,
            notes=[*(start.notes if start else ()), *notes],
        )
    with stop, trainer.recorder:
        trainer.run()
    if ranks.first:
        reason = "budget" if trainer.step == job.training.steps else "early stopping"
        emit(
            "finished",
            step=trainer.step,
            commit=trainer.recorder.newest.id if trainer.recorder.newest else commit,
            reason=reason,
            read_amplification=trainer.training.read_amplification,
            **trainer.stopwatch.lap(trainer.training.waited_s).to_json(),
        )


def _spool(job: Job, lake: Lake) -> Spool | None:
    """Where rank 0 keeps saves while the bucket is out."""
    root, limit = os.environ.get(SPOOL), job.training.spool_mib * 2**20
    if not root or not limit:
        return None
    place = (lake.access.endpoint_url or "aws", job.bucket, job.repository)
    return Spool(spool_folder(Path(root), *place), job.run, limit)


def _disk(job: Job) -> DiskCache | None:
    """Where this host keeps the table's bytes, if the job wants that."""
    folder, limit = os.environ.get(DISK_CACHE), job.training.disk_cache_mib * 2**20
    return DiskCache(Path(folder), limit) if folder and limit else None


def _begin_together(
    job: Job, lake: Lake, data: Lake, ranks: Ranks, spool: Spool | None, *, attempt: str, resume: bool
) -> Start | None:
    start: Start | None = None
    error: Exception | None = None
    if ranks.first:
        try:
            repository = Repository.create(
                Bucket(job.bucket, lake.access), job.repository, key=OuterKey.from_environment()
            )
            start = begin(job, lake, data, repository, attempt=attempt, resume=resume, spool=spool)
        except Exception as failed:  # noqa: BLE001 - raised by `together`, on this rank as itself
            error = failed
    ranks.together(error)
    return start


def _trainer(
    job: Job,
    data: Lake,
    ranks: Ranks,
    repository: Repository,
    restored: Restored,
    start: Start | None,
    spool: Spool | None,
    stop: StopSignal,
) -> Trainer:
    plan = plan_of(restored)
    snapshot = pinned_snapshot(job, data)
    plan.check(snapshot)
    place = f"{job.run}/{restored.commit.id}"
    task = task_of(restored.meta, place)
    learner = Learner.of(task.build_model(), job.training)
    check_same(learner.model, restored.tensors, restored.meta, place)
    learner.load(restored.tensors)
    reader = WindowReader(snapshot, plan, task.features, job.training.memory_mib * 2**20, disk=_disk(job))
    seed, size = job.training.seed, job.training.batch_size
    training = WindowStream(
        plan, reader, "train", seed=seed, batch_size=size, rank=ranks.rank, ranks=ranks.world
    )
    validation = WindowStream(
        plan, reader, "validation", seed=seed, batch_size=size, rank=ranks.rank, ranks=ranks.world
    )
    if restored.meta["cursor"] is not None:
        training.load_state_dict(restored.meta["cursor"])
    recorder = recorder_of(
        ranks,
        job.training,
        learner,
        start.writer if start else None,
        spool,
        repository,
        restored,
        {"plan": plan_tensor(plan)},
        constant_meta(job, task, plan, learner.model, restored.meta.get(MOVES, ())),
    )
    trainer = Trainer(
        job.training, ranks, task, learner, training, validation, recorder, meta=restored.meta, stop=stop
    )
    # Last, since building a model draws from the generator.
    if (recorded := restored.tensors.get(f"rng/{ranks.rank}")) is not None:
        torch.set_rng_state(to_torch(recorded))
    else:  # more ranks than before
        seed_generator(job, trainer.step, ranks.rank)
    return trainer


def _lake_of(values: dict[str, Any]) -> Lake:
    """What `launch` put into the environment."""
    catalog = values["catalog"] and CatalogSettings(**values["catalog"])
    return Lake(access=Access(**values["access"]), catalog=catalog)


def main() -> int:
    """Run this rank; see `run_rank`."""

    def part(job: Job, lake: Lake, data: Lake, ranks: Ranks) -> None:
        train(job, lake, data, ranks, attempt=os.environ[ATTEMPT], resume=bool(os.environ.get(RESUME)))

    return run_rank(part)


def run_rank(part: Callable[[Job, Lake, Lake, Ranks], None]) -> int:
    """Join the other ranks and do `part` of the job that the environment names.

    Args:
        part: takes the job, the lakes of the bucket and of the table, and the ranks.

    Returns:
        The exit code: 2 for the user's mistakes and 1 for ours.
    """
    if PARENT in os.environ:  # set by our own launcher; other launchers have their own lifelines
        die_with_parent()
    job = Job.from_json(json.loads(os.environ[JOB]))
    lake, data = (_lake_of(json.loads(os.environ[name])) for name in (LAKE, DATA))
    torch.set_num_threads(job.training.threads_per_rank)
    torch.use_deterministic_algorithms(True)
    ranks = Ranks.join(job.training.timeout_s)
    try:
        part(job, lake, data, ranks)
    except UserError as mistake:
        emit_error(mistake)
        return 2
    except RankFailed:  # that rank has told why
        return 1
    except Exception as failure:  # noqa: BLE001 - the last resort: told to whoever launched us
        traceback.print_exc()
        emit_error(failure)
        return 1
    ranks.leave()
    return 0


def end(code: int) -> NoReturn:
    """End this process.

    One that fails ends at once: its thread that helps to save may wait for rank 0 inside gloo, which nothing
    can interrupt, and Python's orderly end aborts when such a thread comes back.
    """
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit()


if __name__ == "__main__":
    end(main())
