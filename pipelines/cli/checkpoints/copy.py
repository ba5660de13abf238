"""`carousel checkpoints copy`: bring commits into another repository."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_names, settings, storage_config
from pipelines.cli.checkpoints.address import parted
from pipelines.display.terminal import console

if TYPE_CHECKING:
    from storage.checkpoints import Copied


def copy(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN[/COMMIT]",
            help="A run, or one commit: an id or its first digits, a tag, newest.",
            autocompletion=run_names,
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="s3://bucket/prefix on the same server, or a file of settings whose `storage` says where.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--as", metavar="RUN", help="Another name for the run there.")
    ] = None,
    in_the_clear: Annotated[
        bool, typer.Option("--in-the-clear", help="Store unencrypted what is encrypted here.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Copy a run or one commit into another repository; every byte is checked on the way.

    Tags, pins, notes and metrics come along. Given again, it goes on where it was cut short, and adds what is
    new; a commit that is there is not touched.

    The target has keys of its own: CAROUSEL_TARGET_ACCESS_KEY_ID and CAROUSEL_TARGET_SECRET_ACCESS_KEY for
    the bucket (else what its settings or the AWS chain give), CAROUSEL_TARGET_REPOSITORY_KEY (or the same
    with _FILE) to encrypt it. Commits then have other ids there, as those are keyed too.

    Ends with exit code 1 if a commit could not be read.
    """
    from pipelines.display.waiting import told
    from pipelines.runs.near import asked_for
    from pipelines.surroundings.session import connected_to_both
    from pipelines.surroundings.target import target_repository, target_storage
    from storage import uri
    from storage.checkpoints import copy_commits

    run, commit = parted(what) if "/" in what else (what, None)
    storage = storage_config(config, assign)
    target = target_storage(to, storage)
    with connected_to_both(storage, target, settings(context).root) as (here, there):
        source = here.existing_repository()
        with told("copying") as progress, asked_for(run, source):
            source.head(run)  # before anything is made for it
            goal = target_repository(there, source, in_the_clear=in_the_clear)
            result = copy_commits(source, run, goal, commit=commit, name=name, progress=progress)
    place = uri.build(target.bucket, target.repository.strip("/"))
    if as_json:
        print_json(
            {
                "run": result.run,
                "to": place,
                "copied": [
                    {"id": new.id, "step": new.step, "source_id": old.id} for old, new in result.commits
                ],
                "there": result.there,
                "left_out": result.left_out,
                "raw_bytes": result.raw_bytes,
                "stored_bytes": result.stored_bytes,
            }
        )
    else:
        out = console()
        for trouble in result.left_out:
            out.print(f"left out: {trouble}")
        out.print(_sentence(result, place))
    if result.left_out:
        raise typer.Exit(1)


def _sentence(result: "Copied", place: str) -> str:
    from pipelines.upkeep.sizes import size_text

    where = f"run {result.run} of {place}"
    there = f"; {result.there:,} were there already" if result.there else ""
    if not result.commits:
        return f"nothing to copy to {where}{there}"
    sizes = f"{size_text(result.raw_bytes)}, stored in {size_text(result.stored_bytes)}"
    return f"copied {len(result.commits):,} commits to {where}: {sizes}{there}"
