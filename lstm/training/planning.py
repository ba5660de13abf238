"""From a job to its plan; what is wrong with the table or its columns is told before anything is trained."""

from lstm.tasks.forecast_config import WrongForecast, check_times, check_window
from lstm.training.job import Job
from lstm.windows import Plan, index_snapshot, make_plan
from lstm.windows.curriculum import Curriculum
from lstm.windows.features.features import Features
from lstm.windows.index.grid import gridded
from lstm.windows.read.sizing import fitted
from lstm.windows.table.columns import check_features
from lstm.windows.table.keys import keys_for
from storage.objects import Bucket
from storage.tables import Snapshot


def plan_for(job: Job, snapshot: Snapshot, cache: Bucket) -> Plan:
    """Plan the windows of `snapshot` as `job` wants them and its memory holds them.

    Files that `cache` knows are not scanned again.

    Raises:
        UserError: the table or its columns cannot serve; the message says why.
    """
    check_window(job.forecast, job.window)
    if job.training.curriculum:
        check_curriculum(job)
    keys = keys_for(snapshot.schema, job.table.entity, job.table.time, job.table.max_gap, job.table.grid)
    schema = snapshot.schema if keys.grid is None else gridded(snapshot.schema, keys)
    check_features(schema, [job.forecast.target, *job.forecast.past])
    index = index_snapshot(
        snapshot,
        entity=job.table.entity,
        time=job.table.time,
        max_gap=job.table.max_gap,
        grid=job.table.grid,
        columns=job.forecast.features,
        cache=cache,
    )
    plan = make_plan(index, job.window, job.split, job.order)
    features = Features(schema, job.forecast.features)
    training = job.training
    plan = fitted(plan, snapshot, features, budget_bytes=training.memory_mib << 20, ranks=training.ranks)
    check_times(plan)
    return plan


def check_curriculum(job: Job) -> None:
    """Raise WrongForecast where a stage has more rows than the horizon."""
    try:
        Curriculum(job.training.curriculum).check(job.window)
    except ValueError as error:
        raise WrongForecast(f"training.curriculum: {error}") from None
