"""Run a command, and turn what it raises into one message and an exit code.

0: done. 1: our mistake (a traceback is kept). 2: the user's mistake (the message says how to mend it).
130: Ctrl-C.
"""

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from pipelines.cli import checkpoints, config, demo, forecast, ingest, servers, tables, train
from pipelines.cli.app import Settings
from storage import loopback
from storage.errors import UserError

app = typer.Typer(
    name="carousel",
    help="Train LSTMs from Delta Lake and Iceberg tables: pinned snapshots, exact resume, checkpoints "
    "that store nothing twice.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _global(
    context: typer.Context,
    root: Annotated[
        Path,
        typer.Option(
            envvar="CAROUSEL_ROOT", help="Folder of the embedded servers, their keys and data, and of logs."
        ),
    ] = Path(".carousel"),
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks.")] = False,
) -> None:
    context.obj.root, context.obj.debug = root.resolve(), debug


app.command("demo")(demo.demo)
for command in (ingest.ingest, train.train, train.resume, forecast.evaluate, forecast.score):
    app.command(command.__name__)(command)
app.command("ui")(servers.ui)
app.add_typer(servers.commands, name="s3")
app.add_typer(tables.commands, name="tables")
app.add_typer(checkpoints.commands, name="checkpoints")
app.add_typer(config.commands, name="config")


def main() -> None:
    """The entry point of the `carousel` script."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a shell's background job
            signal.signal(number, _leave)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    settings = Settings()
    loopback.bypass_proxies()  # inherited by all that this command starts
    try:
        app(arguments, prog_name="carousel", obj=settings)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except UserError as mistake:
        if settings.debug:
            traceback.print_exc()
        _complain(str(mistake))
        return 2
    except Exception as failure:  # noqa: BLE001 - the last resort: the user gets one message, we get the trace
        _complain(f"internal error: {type(failure).__name__}: {failure}")
        _complain(traceback.format_exc() if settings.debug else _kept(traceback.format_exc()))
        return 1
    return 0


def _complain(message: str) -> None:
    sys.stderr.write(f"carousel: {message}\n")


def _kept(trace: str) -> str:
    """Put a traceback where it can be found; what to tell the user."""
    descriptor, path = tempfile.mkstemp(prefix="carousel-error-", suffix=".txt", text=True)
    with os.fdopen(descriptor, "w") as file:
        file.write(trace)
    return f"this is a fault of Carousel, not yours; the traceback is in {path} (--debug prints it)"


def _leave(number: int, frame: FrameType | None) -> None:
    """End in order, as after Ctrl-C: what this command started ends with it. The second time, at once."""
    for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(again, _leave_at_once)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    """Leave at once. Ranks die with us; servers stay, and the next command takes them over."""
    os._exit(128 + number)
