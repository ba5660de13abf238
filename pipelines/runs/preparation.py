"""What a flow needs before its work: a run's model, and a plan in words."""

import torch

from lstm.training.trained import Trained, load_trained
from lstm.windows import SPLITS, OrderSpec, Plan
from pipelines.display.waiting import waiting
from pipelines.runs.near import asked_for
from pipelines.surroundings.connect import Connection


def restored(connection: Connection, run: str, commit: str) -> Trained:
    """A commit's model, computing with as many threads as it was trained with.

    So its forecasts are the same bits on a machine with more cores. More threads are no faster on batches
    this small, and many times slower where they share their cores with others.
    """
    repository = connection.existing_repository()
    with waiting(f"restoring {run}/{commit}"), asked_for(run, repository):
        trained = load_trained(repository, run, commit)
    torch.set_num_threads(trained.job.training.threads_per_rank)
    return trained


_SORTS = (
    "; row groups are not sorted by entity and time, so each is sorted when it is read (`carousel windows "
    "inspect` measures what that costs)"
)


def plan_line(plan: Plan, asked: OrderSpec) -> str:
    """What a plan comes to, in one line; `asked` is the order of the settings."""
    windows = ", ".join(f"{plan.windows(split):,} {split}" for split in SPLITS)
    return (
        f"{plan.rows:,} rows, {len(plan.series):,} series, {len(plan.segments.series):,} segments; "
        f"windows: {windows}; plan {plan.id[:12]}{_filled(plan)}"
        f"{_SORTS if plan.keys.sorts else ''}{_order_note(plan.order, asked)}"
    )


def _filled(plan: Plan) -> str:
    """What a grid adds to the table's rows."""
    if plan.keys.grid is None:
        return ""
    return (
        f"; {plan.filled:,} of the rows ({plan.filled / plan.rows:.1%}) are not in the table: the grid of "
        f"{plan.keys.say_length(plan.keys.grid)} adds them without values"
    )


def _order_note(order: OrderSpec, asked: OrderSpec) -> str:
    """How the order was made to fit into memory, if that took another one than was asked for."""
    if order == asked:
        return ""
    rows = "" if order.superblock_rows is None else f" of {order.superblock_rows:,} rows at most"
    return f"; to fit into memory: {order.lanes} lanes, pools of {order.pool} superblocks{rows}"
