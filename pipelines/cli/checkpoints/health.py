"""`carousel checkpoints stats|verify`: how large a repository is, and whether all of it is there."""

from typing import Annotated

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_names, settings, storage_config
from pipelines.display.terminal import console


def stats(
    context: typer.Context,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Say how much the repository stores, against the raw bytes of all states in it.

    Everything below its prefix counts: packs, manifests, heads, and what waits to be collected.
    """
    from pipelines.display.waiting import waiting
    from pipelines.surroundings.session import connected
    from pipelines.upkeep.sizes import size_text

    with connected(storage_config(config, assign), settings(context).root) as connection, waiting("counting"):
        found = connection.existing_repository().statistics()
    if as_json:
        print_json(found)
        return
    share = f", {found.stored_bytes / found.raw_bytes:.2f} of it" if found.raw_bytes else ""
    console().print(
        f"{found.commits:,} commits of {found.runs:,} runs hold {size_text(found.raw_bytes)}; stored are "
        f"{size_text(found.stored_bytes)}{share}, {size_text(found.pack_bytes)} in {found.packs:,} packs"
    )


def verify(
    context: typer.Context,
    run: Annotated[
        str | None, typer.Argument(help="A run; all if not given.", autocompletion=run_names)
    ] = None,
    read_data: Annotated[
        bool, typer.Option("--read-data", help="Read and check every stored byte, not only what is there.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Look for damage: missing or cut objects, and with --read-data any wrong bit; nothing is changed.

    Ends with exit code 1 if a checkpoint is damaged.
    """
    from pipelines.display.names import shown
    from pipelines.display.waiting import told
    from pipelines.surroundings.session import connected
    from pipelines.upkeep.sizes import size_text

    storage = storage_config(config, assign)
    with connected(storage, settings(context).root) as connection, told("verifying") as progress:
        report = connection.existing_repository().verify(run, deep=read_data, progress=progress)
    if as_json:
        print_json(report)
    else:
        out = console()
        for it in report.findings:
            where = "/".join(part for part in (it.run, it.commit) if part) or "the repository"
            step = "" if it.step is None else f", step {it.step}"
            out.print(f"{shown(where)}{step}: {it.what}")
        if report.found > len(report.findings):
            out.print(f"... and {report.found - len(report.findings):,} more")
        read = f", {size_text(report.bytes_read)} in {report.chunks:,} chunks read" if read_data else ""
        verdict = "intact" if report.intact else f"{report.found:,} findings"
        out.print(f"{report.commits:,} commits of {report.runs:,} runs{read}: {verdict}")
        if report.marked:
            out.print(f"{report.marked:,} commits were found damaged before; a resume passes over them")
        if not report.intact:
            out.print(
                "a resume goes on from the newest commit that is whole; `prune` drops commits that are not"
            )
    if not report.intact:
        raise typer.Exit(1)
