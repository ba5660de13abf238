"""Report: one page about a run, of any state, with what can still be had."""

from pathlib import Path

from prefect import flow

from lstm.tasks.evaluate import Evaluation
from lstm.training.trained import BEST, Trained
from pipelines.config.model import access_of
from pipelines.config.storage import StorageConfig
from pipelines.flows.evaluate import compare
from pipelines.report.content import Missing
from pipelines.report.gather import chosen
from pipelines.report.publish import Published, make_report
from pipelines.surroundings.connect import Connection, connect
from storage.errors import UserError


@flow(flow_run_name="report {run}")
def report(
    storage: StorageConfig, run: str, root: Path, commit: str = BEST, out: Path | None = None
) -> Published:
    """Measure a commit on the test windows where there are any, and set the page.

    Raises:
        UserError: there is no such run or commit, or the page cannot be written.
    """
    connection = connect(storage, root)
    trained, why = chosen(connection, run, commit)
    connection = connection.reading(access_of(trained.job.table))
    return make_report(connection, trained, _measured(trained, connection), why, root, out)


def _measured(trained: Trained, connection: Connection) -> Evaluation | Missing:
    try:
        return compare(trained, connection)
    except UserError as trouble:  # no test windows, a table that is gone: the rest can still be told
        return Missing(str(trouble))
