"""`carousel checkpoints prune|gc`: drop commits that no rule keeps, and delete what nothing needs."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_names, settings, storage_config
from pipelines.display.terminal import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.checkpoints import Commit, Freed, PackLists, Repository, Retention


def prune(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run.", autocompletion=run_names)],
    keep_last: Annotated[int, typer.Option(min=1, help="Keep this many of the newest commits.")] = 3,
    keep_every: Annotated[
        int | None, typer.Option(min=1, help="Keep the first commit of each stretch of so many steps.")
    ] = None,
    keep_best: Annotated[
        int, typer.Option(min=0, help="Keep this many with the lowest --metric (--highest: highest).")
    ] = 0,
    metric: Annotated[str | None, typer.Option(help="What --keep-best goes by, as validation_loss.")] = None,
    highest: Annotated[bool, typer.Option("--highest", help="Of --metric, more is better.")] = False,
    repack: Annotated[
        bool, typer.Option("--repack", help="Then free what dropped commits hold because others rest on it.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Drop commits of a run that no rule keeps; says which, and asks.

    Kept in any case: the first and the newest commit, what is tagged, and what somebody has pinned. Only
    commits that are whole count. What they stored is freed by `gc`, the second one after this.
    """
    from pipelines.cli.checkpoints.repack import plain, sentence
    from pipelines.display.commits import commit_table
    from pipelines.display.waiting import told, waiting
    from pipelines.surroundings.pack_lists import remembered
    from pipelines.surroundings.session import connected

    policy = _policy(keep_last, keep_every, keep_best, metric, highest)
    root = settings(context).root
    with connected(storage_config(config, assign), root) as connection, remembered(root) as lists:
        repository = connection.existing_repository()
        with waiting("looking at the commits"):
            _check_metric(repository, run, metric)
            result = repository.retain(run, policy, dry_run=True)
            freed = _freed_by(repository, run, result.dropped, lists) if dry_run or not yes else None
        if result.dropped and not as_json:
            console().print(commit_table(run, result.dropped))
            if freed is not None:
                console().print(_worth(freed))
        if not dry_run and result.dropped:
            _asked(f"drop {len(result.dropped)} of {len(result.dropped) + len(result.kept)} commits?", yes)
            with waiting("dropping"):
                result = repository.retain(run, policy)
        repacked = None
        if repack and not dry_run:
            with told("repacking") as progress:
                repacked = repository.repack(run, lists=lists, progress=progress)
    if as_json:
        ids = {name: [it.id for it in getattr(result, name)] for name in ("kept", "dropped")}
        told_of: dict[str, object] = {} if repacked is None else {"repacked": plain(repacked)}
        told_of |= {} if freed is None else _plain(freed)
        print_json({"run": run, "dry_run": dry_run, **ids, "damaged": result.damaged, **told_of})
        return
    out = console()
    for trouble in result.damaged:
        out.print(f"damaged: {trouble}")
    verb = "would go" if dry_run else "went"
    out.print(f"{len(result.dropped)} commits {verb}, {len(result.kept)} stay")
    if repacked is not None:
        out.print(sentence(repacked, dry_run=False))
    elif result.dropped and not dry_run:
        out.print("`carousel checkpoints gc` frees what they stored, the second one from now on")


def gc(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, and why nothing needs it.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Delete packs and manifests that no commit needs; safe beside trainings and other collections.

    What was written since the last collection is left alone, as a save may be about to need it. So garbage
    goes with the second collection that finds it. Manifests that a collection on this host has read are not
    read again.
    """
    from pipelines.display.waiting import told
    from pipelines.surroundings.pack_lists import remembered
    from pipelines.surroundings.session import connected
    from pipelines.upkeep.sizes import size_text

    root = settings(context).root
    with connected(storage_config(config, assign), root) as connection, remembered(root) as lists:
        repository = connection.existing_repository()
        with told("collecting") as progress:
            result = repository.collect(dry_run=dry_run, lists=lists, progress=progress)
            reasons = list(repository.explain(result, lists=lists)) if dry_run else []
    if as_json:
        why = [{"key": it.key, "bytes": it.size, "why": text} for it, text in reasons]
        counts = ("listed", "condemned", "kept", "deleted", "young", "left", "probes")
        names = ("number", "ending", "runs", "manifests_read", "unreadable", *counts)
        print_json({name: getattr(result, name) for name in names} | {"doomed": why})
        return
    out = console()
    for it, text in reasons:
        out.print(f"{it.key}  {size_text(it.size)}  {text}")
    if result.unreadable is not None:
        out.print(result.unreadable)
    out.print(str(result.ending))
    gone, verb = (result.condemned, "would go") if dry_run else (result.deleted, "went")
    out.print(f"{gone.objects:,} of {result.listed.objects:,} objects {verb}, {size_text(gone.bytes)}")
    if result.probes.objects:
        out.print(f"{result.probes.objects:,} more went that writers had tried the server out with")
    if result.young.objects:
        out.print(
            f"{result.young.objects:,} more, {size_text(result.young.bytes)}, are needed by nothing but may"
            " be of a save under way: the next collection may take them"
        )


def _freed_by(
    repository: "Repository", run: str, dropped: "Sequence[Commit]", lists: "PackLists"
) -> "Freed | str":
    """What dropping these frees, or why that cannot be told; damage elsewhere keeps nobody from it."""
    from storage.checkpoints import Damaged

    try:
        return repository.freed_by(run, dropped, lists=lists)
    except Damaged as error:
        return str(error)


def _worth(freed: "Freed | str") -> str:
    """What a prune frees, and who keeps the rest."""
    from pipelines.upkeep.sizes import size_text
    from storage.checkpoints import in_words

    if isinstance(freed, str):
        return f"what that frees cannot be told: {freed}"
    text = f"{size_text(freed.bytes)} are needed by these alone, {freed.packs} packs among it"
    if not freed.staying:
        return text
    who = in_words(keeper for those in freed.keepers.values() for keeper in those)
    return (
        f"{text}; {len(freed.staying)} more packs, {size_text(freed.staying_bytes)}, stay as long as others"
        f" need a part of them: {who}. `repack` moves what they need"
    )


def _plain(freed: "Freed | str") -> dict[str, object]:
    """For scripts."""
    if isinstance(freed, str):
        return {"freed_unknown": freed}
    return {
        "freed_bytes": freed.bytes,
        "freed_packs": freed.packs,
        "staying": [
            {
                "pack": pack,
                "bytes": size,
                "needed_by": [f"{it.run}/{it.commit.id}" for it in freed.keepers[pack]],
            }
            for pack, size in freed.staying.items()
        ],
    }


def _policy(last: int, every: int | None, best: int, metric: str | None, highest: bool) -> "Retention":
    from storage.checkpoints import Retention
    from storage.errors import UserError

    if best and metric is None:
        raise UserError("--keep-best needs --metric, such as --metric validation_loss")
    if metric is not None and not best:
        raise UserError("--metric goes with --keep-best N")
    return Retention(last=last, every=every, best=best, metric=metric, higher_is_better=highest)


def _check_metric(repository: "Repository", run: str, metric: str | None) -> None:
    """Raises UserError: no commit has the metric, so that the best ones would go."""
    from storage.errors import UserError

    if metric is None:
        return
    known = {name for it in repository.commits(run) if not it.damaged for name in it.metrics}
    if metric not in known:
        names = ", ".join(sorted(known)) or "none at all"
        raise UserError(f"no commit of run {run} has a metric {metric!r}; they have {names}")


def _asked(question: str, yes: bool) -> None:
    from storage.errors import UserError

    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError("nobody is there to be asked; --yes drops them without asking")
    typer.confirm(question, abort=True, err=True)
