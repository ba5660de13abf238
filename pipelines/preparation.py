"""What a flow needs before its work: a plan, which tells what is wrong with the table at once, or a model."""

import torch

from lstm.tasks.forecast import check_times, check_window
from lstm.training.job import Job
from lstm.training.trained import Trained, load_trained
from lstm.windows import SPLITS, Plan, index_snapshot, make_plan
from lstm.windows.columns import check_features
from pipelines.connect import Connection
from storage.objects import Bucket
from storage.tables import Snapshot


def plan_for(job: Job, snapshot: Snapshot, cache: Bucket) -> Plan:
    """Plan the windows of `snapshot` as `job` wants them; files that `cache` knows are not scanned again.

    Raises:
        UserError: the table or its columns cannot serve; the message says why.
    """
    check_window(job.forecast, job.window)
    check_features(snapshot.schema, [job.forecast.target, *job.forecast.past])
    index = index_snapshot(
        snapshot,
        entity=job.table.entity,
        time=job.table.time,
        max_gap=job.table.max_gap,
        cache=cache,
    )
    plan = make_plan(index, job.window, job.split, job.order)
    check_times(plan)
    return plan


def restored(connection: Connection, run: str, commit: str) -> Trained:
    """A commit's model, computing with as many threads as it was trained with.

    So its forecasts are the same bits on a machine with more cores. More threads are no faster on batches
    this small, and many times slower where they share their cores with others.
    """
    trained = load_trained(connection.existing_repository(), run, commit)
    torch.set_num_threads(trained.job.training.threads_per_rank)
    return trained


def plan_line(plan: Plan) -> str:
    """What a plan comes to, in one line."""
    windows = ", ".join(f"{plan.windows(split):,} {split}" for split in SPLITS)
    return (
        f"{plan.rows:,} rows, {len(plan.series):,} series, {len(plan.segments.series):,} segments; "
        f"windows: {windows}; plan {plan.id[:12]}"
    )
