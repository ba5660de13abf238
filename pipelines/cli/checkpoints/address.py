"""How a commit is named on the command line."""

from typing import Annotated, TypeAlias

import typer

from storage.errors import UserError

Address: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="RUN/COMMIT",
        help="A commit's address: an id or its first digits, a tag, newest (that is whole).",
    ),
]


def parted(address: str) -> tuple[str, str]:
    """The run and the commit. Raises UserError."""
    run, slash, commit = address.partition("/")
    if not slash or not run or not commit:
        raise UserError(
            f"{address!r} is no RUN/COMMIT; `carousel checkpoints list RUN` lists a run's commits"
        )
    return run, commit
