"""`carousel checkpoints tag|untag|pin|unpin|note`: what people say of commits. No bytes are copied."""

from typing import Annotated, TypeAlias

import typer

from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_names, settings, storage_config
from pipelines.cli.checkpoints.address import Address, parted
from pipelines.display.terminal import console

Holder: TypeAlias = Annotated[
    str, typer.Option("--for", metavar="TEXT", help="Who needs it, in your words; part of the pin.")
]


def tag(
    context: typer.Context,
    commit: Address,
    name: Annotated[str, typer.Argument(help="The tag; it leaves the commit of this run that had it.")],
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Name a commit, so that RUN/TAG finds it and retention keeps it."""
    from pipelines.surroundings.session import connected

    run, identity = parted(commit)
    with connected(storage_config(config, assign), settings(context).root) as connection:
        found = connection.existing_repository().tag(run, identity, name)
    console().print(f"{run}/{name} is {found.id}, step {found.step}")


def untag(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run.", autocompletion=run_names)],
    name: Annotated[str, typer.Argument(help="The tag.")],
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Take a tag away; its commit stays."""
    from pipelines.surroundings.session import connected

    with connected(storage_config(config, assign), settings(context).root) as connection:
        connection.existing_repository().untag(run, name)
    console().print(f"run {run} has no tag {name} any more")


def pin(
    context: typer.Context,
    commit: Address,
    holder: Holder,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Keep a commit from being dropped for as long as somebody needs it."""
    from pipelines.surroundings.session import connected

    run, identity = parted(commit)
    with connected(storage_config(config, assign), settings(context).root) as connection:
        found = connection.existing_repository().pin(run, identity, holder)
    console().print(f"{run}/{found.id}, step {found.step}, is pinned for: {', '.join(found.pins)}")


def unpin(
    context: typer.Context,
    commit: Address,
    holder: Holder,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Take a pin back."""
    from pipelines.surroundings.session import connected

    run, identity = parted(commit)
    with connected(storage_config(config, assign), settings(context).root) as connection:
        found = connection.existing_repository().unpin(run, identity, holder)
    left = ", ".join(found.pins) or "nobody"
    console().print(f"{run}/{found.id}, step {found.step}, is pinned for: {left}")


def note(
    context: typer.Context,
    commit: Address,
    text: Annotated[str, typer.Argument(help='What to say; "" removes what was said.')],
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Say something about a commit, in place of what was said before."""
    from pipelines.surroundings.session import connected

    run, identity = parted(commit)
    with connected(storage_config(config, assign), settings(context).root) as connection:
        connection.existing_repository().note(run, identity, text)
    console().print(f"noted at {commit}" if text else f"nothing is noted at {commit} any more")
