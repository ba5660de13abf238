"""`carousel checkpoints stats|verify`: how large a repository is, and whether all of it is there."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_names, settings, storage_config
from pipelines.display.terminal import console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from storage.checkpoints import Shares

_SHOWN = 10


def stats(
    context: typer.Context,
    by_run: Annotated[
        bool, typer.Option("--by-run", help="Also what each run needs, alone and with others.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Say how much the repository stores, against the raw bytes of all states in it.

    Everything below its prefix counts: packs, manifests, heads, and what waits to be collected. With --by-run
    all manifests are read that no command on this host has read before.
    """
    from pipelines.display.waiting import told
    from pipelines.surroundings.pack_lists import remembered
    from pipelines.surroundings.session import connected
    from pipelines.upkeep.sizes import size_text

    root = settings(context).root
    with connected(storage_config(config, assign), root) as connection, told("counting") as progress:
        repository = connection.existing_repository()
        found, shares = repository.statistics(), None
        if by_run:
            with remembered(root) as lists:
                shares = repository.shares(lists=lists, progress=progress)
    if as_json:
        print_json(asdict(found) | ({} if shares is None else _plain(shares)))
        return
    share = f", {found.stored_bytes / found.raw_bytes:.2f} of it" if found.raw_bytes else ""
    console().print(
        f"{found.commits:,} commits of {found.runs:,} runs hold {size_text(found.raw_bytes)}; stored are "
        f"{size_text(found.stored_bytes)}{share}, {size_text(found.pack_bytes)} in {found.packs:,} packs"
    )
    if shares is not None:
        for line in _lines(shares):
            console().print(line)


def _plain(shares: "Shares") -> dict[str, object]:
    """For scripts."""
    return {
        "by_run": {run: asdict(it) for run, it in shares.runs.items()},
        "shared": [{"runs": runs, "bytes": size} for runs, size in shares.shared.items()],
        "unnamed_bytes": shares.unnamed_bytes,
    }


def _lines(shares: "Shares") -> "Iterator[str | Table]":
    """For people."""
    from rich.table import Table

    from pipelines.upkeep.sizes import size_text

    table = Table("run", "commits", "raw", "in packs", "of these alone", box=None)
    for run, it in shares.runs.items():
        sizes = (size_text(size) for size in (it.raw_bytes, it.pack_bytes, it.own_bytes))
        table.add_row(run, f"{it.commits:,}", *sizes)
    yield table
    for runs, size in list(shares.shared.items())[:_SHOWN]:
        named = ", ".join(runs[:_SHOWN]) + (f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else "")
        yield f"{size_text(size)} in packs that {named} share"
    if len(shares.shared) > _SHOWN:
        yield f"... and {len(shares.shared) - _SHOWN:,} more groups of runs that share packs"
    if shares.unnamed_bytes:
        yield f"{size_text(shares.unnamed_bytes)} in packs that no commit needs: `gc` frees what is garbage"


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
        for remark in report.remarks:
            out.print(f"no damage: {remark}")
        if report.locked:
            out.print(
                "only heads, packs and their sizes were looked at, as the repository is encrypted: with"
                " CAROUSEL_REPOSITORY_KEY set, its manifests are checked too, and with --read-data every byte"
            )
        if report.marked:
            out.print(f"{report.marked:,} commits were found damaged before; a resume passes over them")
        if not report.intact:
            out.print(
                "a resume goes on from the newest commit that is whole; `prune` drops commits that are not"
            )
    if not report.intact:
        raise typer.Exit(1)
