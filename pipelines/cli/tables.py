"""`carousel tables`: what is in the lake."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import (
    DEFAULT_CONFIG,
    Assignments,
    ConfigPath,
    settings,
    storage_config,
)
from pipelines.display.terminal import console

commands = typer.Typer(help="Tables of the lake: list, show, snapshots.", no_args_is_help=True)

Uri = Annotated[str, typer.Argument(help="s3://bucket/key, or an Iceberg table's namespace.name.")]


@commands.command("list", epilog="Example: carousel tables list --json")
def list_(
    context: typer.Context,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """List the tables of the bucket and of the catalog."""
    from rich.table import Table

    from pipelines.surroundings.session import connected
    from storage.tables import list_tables

    with connected(storage_config(config, assign), settings(context).root) as connection:
        found = list_tables(connection.lake, connection.bucket.name)
    if as_json:
        print_json([{"uri": entry.uri, "format": entry.format} for entry in found])
        return
    if not found:
        console().print(f"no tables in s3://{connection.bucket.name} yet; `carousel ingest` makes one")
        return
    answer = Table("table", "format", box=None)
    for entry in found:
        answer.add_row(entry.uri, entry.format)
    console().print(answer)


@commands.command(epilog="Example: carousel tables show s3://lake/flights")
def show(
    context: typer.Context,
    uri: Uri,
    snapshot: Annotated[str | None, typer.Option(help="A snapshot's id; the newest if not given.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Show a snapshot of a table: its columns, files and rows."""
    from rich.table import Table

    from pipelines.display.names import shown
    from pipelines.display.progress import megabytes
    from pipelines.surroundings.session import connected
    from storage.tables import open_table

    with connected(storage_config(config, assign), settings(context).root) as connection:
        pinned = open_table(connection.lake, uri).snapshot(snapshot)
    rows = sum(file.rows for file in pinned.files)
    size = sum(file.size for file in pinned.files)
    columns = [_Column(it.name, str(it.type), it.nullable, _unit(it.metadata)) for it in pinned.schema]
    if as_json:
        print_json(
            {
                "table": pinned.table,
                "format": pinned.format,
                "snapshot": pinned.id,
                "created": pinned.created,
                "rows": rows,
                "files": len(pinned.files),
                "bytes": size,
                "columns": columns,
            }
        )
        return
    out = console()
    out.print(f"{pinned.table} ({pinned.format}), snapshot {pinned.id} of {_moment(pinned.created)}")
    out.print(f"{rows:,} rows in {len(pinned.files):,} files, {megabytes(size)}")
    answer = Table("column", "type", "nulls", "unit", box=None)
    for column in columns:
        answer.add_row(shown(column.name), column.type, "yes" if column.nulls else "no", column.unit)
    out.print(answer)


@commands.command(epilog="Example: carousel tables snapshots s3://lake/flights")
def snapshots(
    context: typer.Context,
    uri: Uri,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """List a table's snapshots, oldest first."""
    from rich.table import Table

    from pipelines.surroundings.session import connected
    from storage.tables import open_table

    with connected(storage_config(config, assign), settings(context).root) as connection:
        history = open_table(connection.lake, uri).snapshots()
    if as_json:
        print_json(
            [
                {"snapshot": it.id, "created": it.created, "rows": it.rows, "operation": it.operation}
                for it in history
            ]
        )
        return
    answer = Table("snapshot", "created", "rows", "operation", box=None)
    for entry in history:
        rows = "?" if entry.rows is None else f"{entry.rows:,}"
        answer.add_row(entry.id, _moment(entry.created), rows, entry.operation)
    console().print(answer)


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str
    nulls: bool
    """Whether it may hold some."""
    unit: str


def _unit(metadata: Mapping[bytes, bytes] | None) -> str:
    return (metadata or {}).get(b"unit", b"").decode()


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
