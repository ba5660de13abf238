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
    run: Annotated[
        str | None, typer.Argument(help="A run; all runs if not given.", autocompletion=run_names)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be rewritten.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Store anew what a run's commits need of packs that are mostly of dropped ones; safe beside trainings.

    Of forks, and of other runs that share these packs, the commits that need them are rewritten too.
    Commits keep their ids, tags, pins and notes. What is freed goes with the second `gc` after this.
    """
    from pipelines.display.waiting import told
    from pipelines.surroundings.pack_lists import remembered
    from pipelines.surroundings.session import connected

    root = settings(context).root
    with connected(storage_config(config, assign), root) as connection, remembered(root) as lists:
        repository = connection.existing_repository()
        results: dict[str, Repacked] = {}
        for name in [run] if run else repository.runs():
            with told(f"repacking {name}") as progress:
                results[name] = repository.repack(name, dry_run=dry_run, lists=lists, progress=progress)
    if as_json:
        told_of = [{"run": name, "dry_run": dry_run, **plain(it)} for name, it in results.items()]
        print_json(told_of[0] if run else told_of)
        return
    for name, result in results.items():
        console().print(sentence(result, dry_run) if run else f"{name}: {sentence(result, dry_run)}")


def plain(result: "Repacked") -> dict[str, object]:
    """For scripts."""
    return {
        "commits": result.commits,
        "rewritten": [commit.id for commit in result.rewritten],
        "rewritten_of_others": {run: [it.id for it in those] for run, those in result.others.items()},
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
    others = "".join(f" and {len(those)} of run {run}" for run, those in result.others.items())
    commits = f"{len(result.rewritten)} of {result.commits} commits{others}"
    if dry_run:
        return f"{commits} would be rewritten; that would free {freed}, less what is stored anew"
    return (
        f"rewrote {commits}, {size_text(result.stored_bytes)}; {freed}, are not needed any more:"
        " `carousel checkpoints gc` frees them, the second one from now on"
    )
