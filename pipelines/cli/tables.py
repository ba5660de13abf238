"""`carousel tables`: what is in the lake."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import (
    DEFAULT_CONFIG,
    Assignments,
    ConfigPath,
    called,
    settings,
    storage_config,
)
from pipelines.display.terminal import console

commands = typer.Typer(help="Tables of the lake: list, show, snapshots, cluster.", no_args_is_help=True)

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


@commands.command(epilog="Example: carousel tables cluster s3://lake/readings s3://lake/readings-sorted")
def cluster(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="The table that is read; nothing in it is changed.")],
    target: Annotated[str, typer.Argument(help="The table that its rows go to; made if it is new.")],
    time: Annotated[
        str | None,
        typer.Option(help="Column that orders the rows of a series; what the table says, if not given."),
    ] = None,
    entity: Annotated[
        str | None, typer.Option(help="Column that tells series apart; what the table says, if not given.")
    ] = None,
    kind: Annotated[
        Literal["delta", "iceberg"] | None,
        typer.Option("--format", help="Which kind of table to make.", show_default="delta"),
    ] = None,
    duplicates: Annotated[
        Literal["refuse", "first", "last"],
        typer.Option(help="Which of several rows of one series and time is kept."),
    ] = "refuse",
    snapshot: Annotated[str | None, typer.Option(help="A snapshot's id; the newest if not given.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Write the rows of a table, sorted by series and time, into another one: that is read fastest.

    It pays where rows of a series alternate within row groups or between them, as readings arrive. The same
    snapshot again adds nothing; each newer snapshot of a table that grew needs a new target, as it has the
    same rows and more. `carousel windows inspect` says what sorting would save.
    """
    from pipelines.sources.reading import Reading
    from pipelines.sources.target import Target
    from pipelines.surroundings.session import flow_session

    root, storage = settings(context).root, storage_config(config, assign)
    reading = Reading(time=time, entity=entity, duplicates=duplicates)
    with flow_session(storage, root):
        from pipelines.flows.cluster import cluster as flow

        done = flow(source, Target(uri=target, format=kind, storage=storage), root, reading, snapshot)
    if as_json:
        print_json(done)
        return
    console().print(
        f"{done.table}: {done.added:,} rows added, {done.known:,} known already; snapshot {done.snapshot}"
    )
    console().print(f"next: {called(root)} {shlex.join(['train', '--table', target])}")


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
