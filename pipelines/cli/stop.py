"""`carousel stop`: end what was started under the root."""

import sys
from typing import Annotated

import typer

from pipelines.cli.app import settings
from pipelines.display.terminal import console


def stop(
    context: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Also stop a training without asking, and kill what does not end.")
    ] = False,
) -> None:
    """End commands, servers and the UI that were started under the root. Data stay; runs can be resumed."""
    from pipelines.display.waiting import waiting
    from pipelines.upkeep.halt import halt, others
    from storage.errors import UserError

    root, out = settings(context).root, console()
    trained = [work for work in others(root) if work.run is not None]
    if trained and not force:
        names = ", ".join(f"{work.run} (process {work.pid})" for work in trained)
        if not sys.stdin.isatty():
            raise UserError(
                f"training goes on: {names}; --force stops it too, and `carousel resume` goes on later from "
                "its newest checkpoint"
            )
        typer.confirm(
            f"training goes on: {names}. Stop it? Its steps since the last checkpoint are lost",
            abort=True,
            err=True,
        )
    said = False
    with waiting("ending what runs"):
        for line in halt(root, force=force):
            out.print(line)
            said = True
    if not said:
        out.print(f"nothing runs under {root}")
