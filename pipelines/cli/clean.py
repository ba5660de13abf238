"""`carousel clean`: remove what Carousel left under the root, after saying how much that is."""

import sys
from typing import Annotated

import typer

from pipelines.cli.app import settings
from pipelines.display.terminal import console


def clean(
    context: typer.Context,
    logs: Annotated[
        bool,
        typer.Option("--logs", help="Logs and leftovers of killed trainings only (this is the default)."),
    ] = False,
    runs: Annotated[
        bool, typer.Option("--runs", help="Also reports, launched jobs and Prefect's history; no checkpoint.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the embedded server's tables, checkpoints and keys.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove logs, or more, from under the root: says how much, and asks. Never touches another bucket."""
    from rich.table import Table

    from pipelines.upkeep.remains import PARTS, Kept, idle, parts
    from pipelines.upkeep.sizes import Size, size_text
    from storage.errors import UserError

    if logs + runs + everything > 1:
        raise UserError("--logs, --runs and --all exclude each other: each goes further than the one before")
    level: Kept = "all" if everything else "runs" if runs else "logs"
    root, out = settings(context).root, console()
    chosen, sum_ = parts(level), Size()
    with idle(root):
        table = Table(box=None, pad_edge=False)
        for header in ("part", "files", "bytes", "", "what it is"):
            table.add_column(header)
        for part in PARTS:
            size = part.size(root)
            if part in chosen:
                sum_ += size
            fate = "goes" if part in chosen else f"stays (--{part.level})"
            if size.files:
                table.add_row(part.name, f"{size.files:,}", size_text(size.bytes), fate, part.what)
        if table.row_count:
            out.print(f"under {root}:")
            out.print(table)
        if not sum_.files:
            out.print("nothing to remove")
            return
        if not yes:
            if not sys.stdin.isatty():
                raise UserError("nobody is there to be asked; --yes removes it without asking")
            typer.confirm(f"remove {sum_.files:,} files, {size_text(sum_.bytes)}?", abort=True, err=True)
        for part in chosen:
            part.remove(root)
    out.print(f"removed {sum_.files:,} files, {size_text(sum_.bytes)}")
