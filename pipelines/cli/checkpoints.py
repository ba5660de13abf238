"""`carousel checkpoints`: what a repository holds."""

from typing import Annotated

import typer

from pipelines.cli.app import (
    DEFAULT_CONFIG,
    Assignments,
    ConfigPath,
    settings,
    storage_config,
)
from pipelines.terminal import console

commands = typer.Typer(help="Checkpoints of the repository: list, show.", no_args_is_help=True)


@commands.command("list")
def list_(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="A run; all runs if not given.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """List runs with what they store, or the commits of one run."""
    from pipelines.session import connected
    from pipelines.summary import commit_table, run_table

    with connected(storage_config(config, assign), settings(context).root) as connection:
        repository = connection.existing_repository()
        if run is None:
            answer = run_table({name: repository.commits(name) for name in repository.runs()})
        else:
            answer = commit_table(run, repository.commits(run))
    console().print(answer)


@commands.command()
def show(
    context: typer.Context,
    commit: Annotated[
        str, typer.Argument(metavar="RUN/COMMIT", help="A commit's address; its first digits do.")
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Show a commit: what it was trained on, how well, and the tensors it holds."""
    from pipelines.session import connected
    from pipelines.summary import commit_details
    from storage.errors import UserError

    run, slash, identity = commit.partition("/")
    if not slash or not run or not identity:
        raise UserError(f"{commit!r} is no RUN/COMMIT; `carousel checkpoints list RUN` lists a run's commits")
    with connected(storage_config(config, assign), settings(context).root) as connection:
        restored = connection.existing_repository().restore(run, identity)
    for part in commit_details(run, restored):
        console().print(part)
