"""A run goes on with another snapshot of its table: a new plan, and what it has learned is kept.

One commit records the change, at the step at which the run stood. Weights, optimizer and generators stay as
they were, so do scaling and columns: the model means what it meant. The plan is made anew, so epochs begin
anew; so does early stopping, since losses on other validation windows do not compare.
"""

from typing import Any

from lstm.tasks.forecast import ForecastTask
from lstm.training.early_stopping import EarlyStopping
from lstm.training.job import Job
from lstm.training.written_by import job_of, task_of
from lstm.windows import SPLITS, Plan
from storage.checkpoints import Restored, Tensor
from storage.errors import UserError
from storage.tables import Table


class CannotMove(UserError):
    """A run cannot go on with that snapshot."""


MOVES = "moves"
"""In a commit's meta: every change of snapshot so far, oldest first."""


def moved_job(job: Job, table: Table, snapshot: str | None) -> Job:
    """The job on another snapshot of its table.

    Args:
        job: as it stands.
        table: the job's.
        snapshot: its id; None: the newest.

    Raises:
        CannotMove: it is older than the one that the run reads now.
        NoSuchSnapshot: there is none by that id.
    """
    wanted = table.snapshot(snapshot).id
    history = [entry.id for entry in table.snapshots()]
    if wanted in history and job.table.snapshot in history[history.index(wanted) + 1 :]:
        raise CannotMove(
            f"snapshot {wanted} of {table.uri} is older than {job.table.snapshot}, which run {job.run!r} "
            "reads now: rows that it has learned from would be missing; name a newer one, or train anew"
        )
    return job.on_snapshot(wanted)


def is_moved(job: Job, restored: Restored) -> bool:
    """Whether a job asks for another snapshot than its commit was trained on."""
    place = f"{job.run}/{restored.commit.id}"
    return job_of(restored.meta, place).table.snapshot != job.table.snapshot


def moved_task(restored: Restored, plan: Plan, place: str) -> ForecastTask:
    """The task of a commit on a new plan: its columns, its clock and its scaling, and the plan's series.

    Raises:
        CannotMove: rows are another time apart, so what the model knows of days and seasons would be wrong.
    """
    task = task_of(restored.meta, place)
    if plan.interval != task.clock.interval or plan.keys.ordinal != task.clock.ordinal:
        apart = [f"{interval / 1e6:g} s" for interval in (task.clock.interval, plan.interval)]
        raise CannotMove(
            f"rows of snapshot {plan.snapshot_id} of {plan.table} are {apart[1]} apart, but {place} has "
            f"learned from rows {apart[0]} apart; resample the table, or train a new run"
        )
    return task.on(plan)


def moved_state(
    restored: Restored, job: Job, plan: Plan, plan_tensor: Tensor
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors of the commit that records the change, and its progress and history for the meta."""
    old = restored.meta
    cursor = old["cursor"]
    move = {
        "step": restored.commit.step,
        "commit": restored.commit.id,
        "from": {**old["snapshot"], "plan_id": old["plan_id"], "windows": old["windows"]},
        "to": {
            "table": plan.table,
            "id": plan.snapshot_id,
            "plan_id": plan.id,
            "windows": {split: plan.windows(split) for split in SPLITS},
        },
        "epochs_before": 0 if cursor is None else cursor["epoch"],
        "samples_before": 0 if cursor is None else cursor["samples_consumed"],
    }
    progress = {
        "step": restored.commit.step,
        "cursor": None,  # the beginning of the new plan's first epoch
        "early_stopping": EarlyStopping(patience=job.training.patience).state(),
        "finished": False,
        MOVES: [*old.get(MOVES, ()), move],
    }
    return {**restored.tensors, "plan": plan_tensor}, progress


def told(restored: Restored, plan: Plan) -> str:
    """The change in plain words."""
    before, now = restored.meta["windows"]["train"], plan.windows("train")
    return (
        f"goes on with snapshot {plan.snapshot_id} of {plan.table} in the place of "
        f"{restored.meta['snapshot']['id']}: {now:,} training windows where there were {before:,}; scaling "
        "is kept, epochs and early stopping begin anew, and losses do not compare with those before"
    )
