"""`carousel s3` and `carousel ui`: the embedded servers by hand."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import settings
from pipelines.display.terminal import console

if TYPE_CHECKING:
    from storage.local import LocalServer

commands = typer.Typer(help="The embedded S3 server: start, stop, status.", no_args_is_help=True)


@commands.command(epilog="Example: carousel s3 start --json")
def start(context: typer.Context, as_json: AsJson = False) -> None:
    """Start the embedded S3 server and let it run until `carousel s3 stop`."""
    from pipelines.display.waiting import waiting
    from pipelines.surroundings.room import enough_room
    from pipelines.surroundings.servers import folder_of, keep
    from storage.local import LocalServer

    root = settings(context).root
    with enough_room(root), waiting("starting the S3 server"):
        server = keep(LocalServer, root)
    folder, out = folder_of(LocalServer, root), console()
    if as_json:
        print_json({**_described(server), "keys": folder / "settings.json", "data": folder / "data"})
        return
    out.print(f"S3 server: {server.endpoint_url} (process {server.pid})")
    out.print(f"Iceberg catalog: {server.catalog_uri}")
    out.print(f"keys: {folder / 'settings.json'}", soft_wrap=True)
    out.print(f"data: {folder / 'data'}", soft_wrap=True)


@commands.command(epilog="Example: carousel s3 stop")
def stop(context: typer.Context) -> None:
    """End the embedded S3 server; its data stay."""
    from pipelines.surroundings.servers import end
    from storage.local import LocalServer

    console().print(f"S3 server: {end(LocalServer, settings(context).root)}")


@commands.command(epilog="Example: carousel s3 status || carousel s3 start")
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Say whether the embedded S3 server runs, and where. Exit code 1: it does not."""
    from pipelines.surroundings.servers import folder_of
    from storage.local import LocalServer

    server = LocalServer.find(folder_of(LocalServer, settings(context).root))
    if as_json:
        print_json({"running": False} if server is None else {"running": True, **_described(server)})
        raise typer.Exit(int(server is None))
    if server is None:
        console().print("S3 server: it does not run; start it: carousel s3 start")
        raise typer.Exit(1)
    since = server.since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    console().print(f"S3 server: {server.endpoint_url} (process {server.pid}, since {since})")


def _described(server: "LocalServer") -> dict[str, object]:
    """Where it is; its keys stay in their file."""
    return {
        "endpoint_url": server.endpoint_url,
        "catalog_uri": server.catalog_uri,
        "pid": server.pid,
        "since": server.since,
    }


def ui(
    context: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the one that was left running.")] = False,
) -> None:
    """Serve Prefect's UI: past and present runs, their artifacts and logs. Until Ctrl-C."""
    import signal

    from pipelines.display.waiting import waiting
    from pipelines.surroundings.at_work import at_work
    from pipelines.surroundings.prefect_api import PrefectApi
    from pipelines.surroundings.room import enough_room
    from pipelines.surroundings.servers import borrow, end, keep

    root = settings(context).root
    if stop:
        console().print(f"Prefect's UI: {end(PrefectApi, root)}")
    elif detach:
        with enough_room(root), waiting("starting the Prefect API"):
            server = keep(PrefectApi, root)
        console().print(f"Prefect's UI: {server.url} (end it: carousel ui --stop)")
    else:
        with ExitStack() as stack:
            stack.enter_context(at_work(root))
            stack.enter_context(enough_room(root))
            with waiting("starting the Prefect API"):
                server = stack.enter_context(borrow(PrefectApi, root))
            console().print(f"Prefect's UI: {server.url} (Ctrl-C ends it)")
            signal.pause()
