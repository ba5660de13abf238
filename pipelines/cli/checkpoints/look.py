"""`carousel checkpoints list|show|diff`: what a repository holds."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import (
    DEFAULT_CONFIG,
    Assignments,
    ConfigPath,
    run_names,
    settings,
    storage_config,
)
from pipelines.cli.checkpoints.address import Address, parted
from pipelines.display.terminal import console, warn

if TYPE_CHECKING:
    from storage.checkpoints import Commit, Repository


def list_(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(help="A run; all runs if not given.", autocompletion=run_names),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """List runs with what they store, or the commits of one run."""
    from pipelines.display.commits import commit_table, run_table
    from pipelines.runs.near import asked_for
    from pipelines.surroundings.session import connected

    with connected(storage_config(config, assign), settings(context).root) as connection:
        repository = connection.existing_repository()
        with asked_for(run or "", repository):
            found, unread = ({run: repository.commits(run)}, []) if run else _each_run(repository)
    for trouble in unread:
        warn(trouble)
    if as_json:
        print_json({name: [_described(commit) for commit in commits] for name, commits in found.items()})
    else:
        console().print(commit_table(run, found[run]) if run else run_table(found))


def show(
    context: typer.Context,
    commit: Address,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Show a commit: what it was trained on, how well, and the tensors it holds.

    Bytes of tensors are not read: `verify --read-data` checks them.
    """
    from pipelines.display.commits import commit_details
    from pipelines.runs.near import asked_for
    from pipelines.surroundings.session import connected

    run, identity = parted(commit)
    with connected(storage_config(config, assign), settings(context).root) as connection:
        repository = connection.existing_repository()
        with asked_for(run, repository):
            found, parent = repository.find(run, identity), repository.head(run).parent
    if as_json:
        tensors = [
            {"name": name, "type": it.dtype, "shape": it.shape, "bytes": it.nbytes}
            for name, it in sorted(found.manifest.tensors.items())
        ]
        told_of = {"run": run, **_described(found.commit), "skipped": found.skipped}
        told_of["run_parent"] = None if parent is None else {"run": parent.run, "commit": parent.commit}
        print_json({**told_of, "meta": found.manifest.meta, "tensors": tensors})
        return
    for part in commit_details(run, found, parent):
        console().print(part)


def diff(
    context: typer.Context,
    first: Address,
    second: Address,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Compare two commits: which tensors changed, how many of their numbers, and by how much.

    Reads the changed tensors one by one, so it takes little memory. The tensors may be of two runs.
    """
    from dataclasses import asdict

    from pipelines.display.differences import difference_table
    from pipelines.display.waiting import told
    from pipelines.surroundings.session import connected

    sides = parted(first), parted(second)
    with connected(storage_config(config, assign), settings(context).root) as connection:
        repository = connection.existing_repository()
        with told("comparing") as progress:
            compared = repository.compare(*sides, progress=progress)
    found = {"first": compared.first, "second": compared.second}
    if as_json:
        named = {
            which: {"run": run, "id": it.commit.id, "step": it.commit.step, "skipped": it.skipped}
            for (which, it), (run, _) in zip(found.items(), sides, strict=True)
        }
        print_json({**named, "changes": [asdict(it) for it in compared.changes]})
        return
    for it in found.values():
        for passed_over in it.skipped:
            console().print(passed_over)
    console().print(difference_table(compared))


def _each_run(repository: "Repository") -> tuple[dict[str, tuple["Commit", ...]], list[str]]:
    """The commits of every run, and plain words about each run whose commits nobody can tell."""
    from storage.checkpoints import Damaged, HeadLost, HeadUnreadable, RunMissing

    found, unread = {}, []
    for name in sorted(repository.shelf.run_names()):
        try:
            found[name] = repository.commits(name)
        except (HeadLost, HeadUnreadable) as error:
            unread.append(str(error))
        except RunMissing:  # what a killed import has left, or it was removed meanwhile
            continue
        except Damaged as error:
            unread.append(f"{error}; `carousel checkpoints repair {name}` mends it")
    return found, unread


def _described(commit: "Commit") -> dict[str, object]:
    """What the run's head says of a commit."""
    said = ("id", "step", "created", "attempt", "metrics", "tags", "pins", "note", "damaged")
    return {name: getattr(commit, name) for name in (*said, "raw_bytes", "new_bytes")}
