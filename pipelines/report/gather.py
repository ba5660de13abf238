"""Collect all figures of a report. What cannot be had any more is missing with its reason."""

import math
from datetime import UTC, datetime
from typing import Any

from lstm.tasks.evaluate import Evaluation
from lstm.training.start import pinned_snapshot
from lstm.training.trained import BEST, Trained
from pipelines.report.about import about
from pipelines.report.attempts import read_attempts
from pipelines.report.content import Forecasts, Missing, Report
from pipelines.report.curves import curves_of, notes_of, timing_of
from pipelines.report.forecasts import forecasts_of
from pipelines.report.lineage import lineage_of
from pipelines.report.quality import quality_of
from pipelines.report.scan import Scan, scan
from pipelines.report.scores import scores_of
from pipelines.report.sharing import checkpoints_of
from pipelines.runs.near import asked_for
from pipelines.runs.preparation import restored
from pipelines.surroundings.connect import Connection
from storage.checkpoints import Commit, Repository
from storage.errors import UserError
from storage.tables import Snapshot


def gather(connection: Connection, trained: Trained, evaluated: Evaluation | Missing, why: str) -> Report:
    """The report of one commit.

    Args:
        connection: the bucket, and the lake that the table is read from.
        trained: the commit.
        evaluated: its figures, or why there are none.
        why: why this very commit was chosen, as a sentence.
    """
    repository, run = connection.existing_repository(), trained.job.run
    commits = repository.commits(run)
    attempts = read_attempts(connection.bucket, connection.reports, run)
    timing, checkpoints = timing_of(attempts), checkpoints_of(repository, run, commits)
    newest, finished = _newest(repository, run)
    forecasts, scanned = _from_table(connection, trained, evaluated)
    return Report(
        run=run,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        about=about(trained, newest, finished, evaluated, timing, checkpoints, why),
        curves=curves_of(attempts, commits, chosen=trained.commit.id, budget=trained.job.training.steps),
        timing=timing,
        forecasts=forecasts,
        scores=evaluated
        if isinstance(evaluated, Missing)
        else scores_of(evaluated, trained.task.config.quantiles),
        quality=quality_of(trained.plan, trained.task, scanned),
        checkpoints=checkpoints,
        lineage=lineage_of(
            trained,
            _meta(repository, run, trained.commit.id),
            repository.head(run),
            f"s3://{connection.bucket.name}/{connection.prefix}",
        ),
        notes=notes_of(attempts),
    )


def chosen(connection: Connection, run: str, commit: str) -> tuple[Trained, str]:
    """The commit that a report is about, and why: of a run without a validated one, the newest.

    Raises:
        UserError: there is no such run or commit.
    """
    if commit != BEST:
        return restored(
            connection, run, commit
        ), f"This report is about the commit that was asked for, {commit}."
    repository = connection.existing_repository()
    with asked_for(run, repository):
        commits = repository.commits(run)
    if any(_validated(it) for it in commits):
        return restored(
            connection, run, BEST
        ), "This report is about the commit with the best validation loss."
    newest = repository.newest_complete(run)
    return restored(connection, run, newest.id), (
        f"No commit has been validated yet, so this report is about the newest one, of step {newest.step:,}."
    )


def _validated(commit: Commit) -> bool:
    return not commit.damaged and math.isfinite(commit.metrics.get("validation_loss", math.nan))


def _newest(repository: Repository, run: str) -> tuple[Commit, bool]:
    newest = repository.newest_complete(run)
    return newest, bool(_meta(repository, run, newest.id)["finished"])


def _meta(repository: Repository, run: str, commit: str) -> dict[str, Any]:
    return repository.restore(run, commit, names=()).meta


def _from_table(
    connection: Connection, trained: Trained, evaluated: Evaluation | Missing
) -> tuple[Forecasts | Missing, Scan | Missing]:
    errors = {} if isinstance(evaluated, Missing) else evaluated.model["series"]
    try:
        snapshot: Snapshot = pinned_snapshot(trained.job, connection.data)
        trained.plan.check(snapshot)
        return forecasts_of(trained, snapshot, errors), scan(snapshot, trained.plan, trained.task.columns)
    except UserError as gone:
        reason = f"The table cannot be read as it was when the run began: {gone}"
        return Missing(reason), Missing(reason)
