"""`carousel tables`: what is in the lake."""

from datetime import datetime
from typing import Annotated

import typer

from pipelines.cli.app import (
    DEFAULT_CONFIG,
    Assignments,
    ConfigPath,
    settings,
    storage_config,
)
from pipelines.terminal import console

commands = typer.Typer(help="Tables of the lake: list, show, snapshots.", no_args_is_help=True)

Uri = Annotated[str, typer.Argument(help="s3://bucket/key, or an Iceberg table's namespace.name.")]


@commands.command("list")
def list_(context: typer.Context, config: ConfigPath = DEFAULT_CONFIG, assign: Assignments = None) -> None:
    """List the tables of the bucket and of the catalog."""
    from rich.table import Table

    from pipelines.session import connected
    from storage.tables import list_tables

    with connected(storage_config(config, assign), settings(context).root) as connection:
        found = list_tables(connection.lake, connection.bucket.name)
    if not found:
        console().print(f"no tables in s3://{connection.bucket.name} yet; `carousel ingest` makes one")
        return
    answer = Table("table", "format", box=None)
    for entry in found:
        answer.add_row(entry.uri, entry.format)
    console().print(answer)


@commands.command()
def show(
    context: typer.Context,
    uri: Uri,
    snapshot: Annotated[str | None, typer.Option(help="A snapshot's id; the newest if not given.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Show a snapshot of a table: its columns, files and rows."""
    from rich.table import Table

    from pipelines.progress import megabytes
    from pipelines.session import connected
    from storage.tables import open_table

    with connected(storage_config(config, assign), settings(context).root) as connection:
        pinned = open_table(connection.lake, uri).snapshot(snapshot)
    rows = sum(file.rows for file in pinned.files)
    size = megabytes(sum(file.size for file in pinned.files))
    out = console()
    out.print(f"{pinned.table} ({pinned.format}), snapshot {pinned.id} of {_moment(pinned.created)}")
    out.print(f"{rows:,} rows in {len(pinned.files):,} files, {size}")
    answer = Table("column", "type", "nulls", "unit", box=None)
    for column in pinned.schema:
        answer.add_row(
            column.name,
            str(column.type),
            "yes" if column.nullable else "no",
            (column.metadata or {}).get(b"unit", b"").decode(),
        )
    out.print(answer)


@commands.command()
def snapshots(
    context: typer.Context, uri: Uri, config: ConfigPath = DEFAULT_CONFIG, assign: Assignments = None
) -> None:
    """List a table's snapshots, oldest first."""
    from rich.table import Table

    from pipelines.session import connected
    from storage.tables import open_table

    with connected(storage_config(config, assign), settings(context).root) as connection:
        history = open_table(connection.lake, uri).snapshots()
    answer = Table("snapshot", "created", "rows", "operation", box=None)
    for entry in history:
        rows = "?" if entry.rows is None else f"{entry.rows:,}"
        answer.add_row(entry.id, _moment(entry.created), rows, entry.operation)
    console().print(answer)


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
