"""`carousel checkpoints repair`: rebuild heads that are lost or cannot be read."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_names, settings, storage_config
from pipelines.display.terminal import console

if TYPE_CHECKING:
    from storage.checkpoints import Repaired


def repair(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(help="A run; if not given, all that need it.", autocompletion=run_names),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would come back, and what not.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild a run's head, the list of its commits, that is lost or unreadable or has lost a page.

    If the newest collection's list cannot be read, which stops saves, a newer one is begun that is empty.

    Commits that were dropped and not collected yet come back too. What only the head knew is lost: tags,
    pins, notes, metrics. A trainer of the run that still lives stops; a resume goes on.
    """
    from pipelines.display.waiting import told
    from pipelines.surroundings.session import connected

    with connected(storage_config(config, assign), settings(context).root) as connection:
        repository = connection.existing_repository()
        with told("looking at the runs") as progress:
            runs = repository.broken_runs() if run is None else [run]
            unreadable = repository.unreadable_list() if run is None else None
            results = [repository.repair(name, dry_run=True, progress=progress) for name in runs]
        if not dry_run and results:
            if not as_json:
                _print(results, dry_run=True)
            _asked(f"rebuild the heads of {len(results)} runs?", yes)
            with told("repairing") as progress:
                results = [repository.repair(name, progress=progress) for name in runs]
        begun = repository.begin_newer_list() if unreadable and not dry_run else None
    if as_json:
        told_of = {"unreadable_list": unreadable, "begun_collection": begun}
        print_json({"dry_run": dry_run, "repaired": [plain(result) for result in results], **told_of})
        return
    _print(results, dry_run, unreadable)
    if begun is not None:
        console().print(f"collection {begun}, which condemns nothing, was begun: trainings can be resumed")


def _print(results: list["Repaired"], dry_run: bool, unreadable: str | None = None) -> None:
    out = console()
    if unreadable is not None:
        out.print(unreadable)
    elif not results:
        out.print("no run has lost its head or a page: nothing to repair")
    for result in results:
        for line in sentences(result, dry_run):
            out.print(line)


def plain(result: "Repaired") -> dict[str, object]:
    """For scripts."""
    return {
        "run": result.run,
        "trouble": result.trouble,
        "named": [commit.id for commit in result.named],
        "copied": [commit.id for commit in result.copied],
        "marked_damaged": [{"manifest": it.manifest, "why": it.why} for it in result.incomplete],
        "lost": [{"manifest": it.manifest, "why": it.why} for it in result.lost],
        "without_marks": result.forgotten,
        "bad_pages": result.bad_pages,
    }


def sentences(result: "Repaired", dry_run: bool) -> Iterator[str]:
    """For people."""
    run, verb = result.run, "would be" if dry_run else "are"
    yield f"run {run}: {result.trouble}"
    yield f"{len(result.named)} commits {verb} named again, {len(result.copied)} of them stored anew"
    for it in result.incomplete:
        yield f"marked as damaged: {it.manifest}: {it.why}"
    for it in result.lost:
        step = "" if it.commit is None else f", step {it.commit.step}"
        yield f"cannot be saved: {it.manifest}{step}: {it.why}"
    if result.lost:
        yield (
            "what cannot be saved is garbage once the head is there, and `gc` deletes it: bring it back first"
            " if a copy exists"
        )
    for page in result.bad_pages:
        yield f"passed over: {page}"
    if result.forgotten:
        yield (
            f"tags, pins, notes and metrics of {result.forgotten} commits, and where the run was forked from,"
            " stood in what was lost alone"
        )
    yield f"commits that had been dropped may be among them: `carousel checkpoints prune {run}` drops them"


def _asked(question: str, yes: bool) -> None:
    from storage.errors import UserError

    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError("nobody is there to be asked; --yes repairs without asking")
    typer.confirm(question, abort=True, err=True)
