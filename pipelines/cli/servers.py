"""`carousel s3` and `carousel ui`: the embedded servers by hand."""

from typing import Annotated

import typer

from pipelines.cli.app import settings
from pipelines.terminal import console

commands = typer.Typer(help="The embedded S3 server: start, stop, status.", no_args_is_help=True)


@commands.command()
def start(context: typer.Context) -> None:
    """Start the embedded S3 server and let it run until `carousel s3 stop`."""
    from pipelines.servers import folder_of, keep
    from storage.local import LocalServer

    root = settings(context).root
    server = keep(LocalServer, root)
    folder, out = folder_of(LocalServer, root), console()
    out.print(f"S3 server: {server.endpoint_url} (process {server.pid})")
    out.print(f"Iceberg catalog: {server.catalog_uri}")
    out.print(f"keys: {folder / 'settings.json'}", soft_wrap=True)
    out.print(f"data: {folder / 'data'}", soft_wrap=True)


@commands.command()
def stop(context: typer.Context) -> None:
    """End the embedded S3 server; its data stay."""
    from pipelines.servers import end
    from storage.local import LocalServer

    console().print(f"S3 server: {end(LocalServer, settings(context).root)}")


@commands.command()
def status(context: typer.Context) -> None:
    """Say whether the embedded S3 server runs, and where. Exit code 1: it does not."""
    from pipelines.servers import folder_of
    from storage.local import LocalServer

    server = LocalServer.find(folder_of(LocalServer, settings(context).root))
    if server is None:
        console().print("S3 server: it does not run; start it: carousel s3 start")
        raise typer.Exit(1)
    since = server.since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    console().print(f"S3 server: {server.endpoint_url} (process {server.pid}, since {since})")


def ui(
    context: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the one that was left running.")] = False,
) -> None:
    """Serve Prefect's UI: past and present runs, their artifacts and logs. Until Ctrl-C."""
    import signal

    from pipelines.prefect_api import PrefectApi
    from pipelines.servers import borrow, end, keep

    root = settings(context).root
    if stop:
        console().print(f"Prefect's UI: {end(PrefectApi, root)}")
    elif detach:
        console().print(f"Prefect's UI: {keep(PrefectApi, root).url} (end it: carousel ui --stop)")
    else:
        with borrow(PrefectApi, root) as server:
            console().print(f"Prefect's UI: {server.url} (Ctrl-C ends it)")
            signal.pause()
