"""`carousel checkpoints repack`: free what dropped commits still hold because kept ones rest on it."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_names, settings, storage_config
from pipelines.display.terminal import console

if TYPE_CHECKING:
    from storage.checkpoints import Repacked


def repack(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run.", autocompletion=run_names)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be rewritten.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Store anew what a run's commits need of packs that are mostly of dropped ones; safe beside trainings.

    Commits keep their ids, tags, pins and notes. What is freed goes with the second `gc` after this.
    """
    from pipelines.display.waiting import told
    from pipelines.surroundings.pack_lists import remembered
    from pipelines.surroundings.session import connected

    root = settings(context).root
    with connected(storage_config(config, assign), root) as connection, remembered(root) as lists:
        repository = connection.existing_repository()
        with told("repacking") as progress:
            result = repository.repack(run, dry_run=dry_run, lists=lists, progress=progress)
    if as_json:
        print_json({"run": run, "dry_run": dry_run, **plain(result)})
        return
    console().print(sentence(result, dry_run))


def plain(result: "Repacked") -> dict[str, object]:
    """For scripts."""
    return {
        "commits": result.commits,
        "rewritten": [commit.id for commit in result.rewritten],
        "emptied_packs": len(result.emptied),
        "emptied_bytes": sum(result.emptied.values()),
        "stored_bytes": result.stored_bytes,
    }


def sentence(result: "Repacked", dry_run: bool) -> str:
    """For people."""
    from pipelines.upkeep.sizes import size_text

    if not result.emptied:
        return f"nothing to do: the {result.commits} commits need hardly a byte of dropped ones"
    freed = f"{len(result.emptied)} packs, {size_text(sum(result.emptied.values()))}"
    commits = f"{len(result.rewritten)} of {result.commits} commits"
    if dry_run:
        return f"{commits} would be rewritten; that would free {freed}, less what is stored anew"
    return (
        f"rewrote {commits}, {size_text(result.stored_bytes)}; {freed}, are not needed any more:"
        " `carousel checkpoints gc` frees them, the second one from now on"
    )
