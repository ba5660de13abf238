"""Run a command, and turn what it raises into one message and an exit code.

0: done. 1: our mistake (a traceback is kept). 2: the user's mistake (the message says how to mend it).
130: Ctrl-C.
"""

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import psutil
import typer

from pipelines.cli import (
    checkpoints,
    clean,
    config,
    demo,
    doctor,
    forecast,
    ingest,
    report,
    servers,
    status,
    stop,
    tables,
    train,
    windows,
)
from pipelines.cli.app import Settings
from pipelines.cli.flags import made_readable
from pipelines.display.terminal import silence_notes
from storage import loopback
from storage.errors import UserError

app = typer.Typer(
    name="carousel",
    help="Train LSTMs from Delta Lake and Iceberg tables: pinned snapshots, exact resume, checkpoints "
    "that store nothing twice.",
    epilog="Begin with: carousel demo. Then: carousel ingest my.csv --table s3://lake/mine",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from pipelines.version import version

        sys.stdout.write(f"carousel {version()}\n")
        raise typer.Exit


@app.callback()
def _global(
    context: typer.Context,
    root: Annotated[
        Path,
        typer.Option(
            envvar="CAROUSEL_ROOT", help="Folder of the embedded servers, their keys and data, and of logs."
        ),
    ] = Path(".carousel"),
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No notes and no progress: only the answer, and warnings.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj.root, context.obj.debug = root.resolve(), debug
    if root.exists() and not root.is_dir():
        raise UserError(f"--root {root} is a file; name a folder, for servers, keys, data and logs")
    silence_notes(quiet)


START, OWN, LOOK, SERVERS, UPKEEP = (
    *("Start here", "Your own table", "Look"),
    *("Servers", "Maintenance"),
)
"""The groups of commands, in the order that help shows them."""

COMMANDS: list[tuple[str, str, Callable[..., None], str]] = [
    (START, "demo", demo.demo, "carousel demo --format iceberg"),
    (START, "doctor", doctor.doctor, "carousel doctor -c carousel.yaml"),
    (OWN, "ingest", ingest.ingest, "carousel ingest rows.csv --table s3://lake/rows --time ts --entity id"),
    (OWN, "train", train.train, "carousel train --table s3://lake/rows --target load --minutes 5"),
    (OWN, "resume", train.resume, "carousel resume flights"),
    (OWN, "evaluate", forecast.evaluate, "carousel evaluate flights --commit newest --json"),
    (OWN, "score", forecast.score, "carousel score -c carousel.yaml --commit best"),
    (LOOK, "report", report.report, "carousel report flights --open"),
    (LOOK, "status", status.status, "carousel status --json"),
    (SERVERS, "ui", servers.ui, "carousel ui --detach"),
    (UPKEEP, "stop", stop.stop, "carousel stop --force"),
    (UPKEEP, "clean", clean.clean, "carousel clean --runs"),
]
"""Group, name, function, example."""

GROUPS = [
    (OWN, "config", config.commands),
    (LOOK, "tables", tables.commands),
    (LOOK, "windows", windows.commands),
    (LOOK, "checkpoints", checkpoints.commands),
    (SERVERS, "s3", servers.commands),
]
"""Group, name, commands below that name."""

for panel, name, function, example in COMMANDS:
    app.command(name, rich_help_panel=panel, epilog=f"Example: {example}")(function)
for panel, name, below in GROUPS:
    app.add_typer(below, name=name, rich_help_panel=panel)


def main() -> None:
    """The entry point of the `carousel` script."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, or a shell's background job
            signal.signal(number, _leave)
    code = run(sys.argv[1:], Settings(began=_born()))
    if doctor.has_given_up():
        sys.stdout.flush()
        os._exit(code)  # Python's own end takes seconds while threads are in the middle of imports
    sys.exit(code)


def _born() -> float:
    """When this process began, by the monotonic clock: importing what is above takes its time too."""
    return time.monotonic() - max(0.0, time.time() - psutil.Process().create_time())


def run(arguments: Sequence[str], settings: Settings | None = None) -> int:
    """Run one command line; returns the exit code."""
    settings = settings or Settings()
    loopback.bypass_proxies()  # inherited by all that this command starts
    try:
        command = typer.main.get_command(app)
        made_readable(command)
        command(arguments, prog_name="carousel", obj=settings)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except UserError as mistake:
        if settings.debug:
            traceback.print_exc()
        _complain(str(mistake))
        return 2
    except Exception as failure:  # noqa: BLE001 - the last resort: the user gets one message, we get the trace
        if (full := _full_disk(failure)) is not None and not settings.debug:
            _complain(full)
            return 2
        _complain(f"internal error: {type(failure).__name__}: {failure}")
        _complain(traceback.format_exc() if settings.debug else _kept(traceback.format_exc()))
        return 1
    return 0


def _full_disk(failure: Exception) -> str | None:
    """What to tell if it was a full disk: nobody's fault, and the user's to mend."""
    from pipelines.surroundings.room import is_full

    if not is_full(failure):
        return None
    where = f" for {failure.filename}" if isinstance(failure, OSError) and failure.filename else ""
    return (
        f"no room{where}: {failure}; what is committed stays. Free some room, or choose a folder on "
        "another disk with --root, then give the same command again"
    )


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
