"""`carousel checkpoints restore|export|import`: commits to local files, and files to commits."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, settings, storage_config
from pipelines.cli.checkpoints.address import Address, parted
from pipelines.display.terminal import console

if TYPE_CHECKING:
    from storage.checkpoints.transfer.extracting import Extracted

Force: TypeAlias = Annotated[bool, typer.Option("--force", help="Replace what an earlier call has written.")]


def restore(
    context: typer.Context,
    commit: Address,
    into: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder.")],
    tensor: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only these tensors, as 'model/*'; only they are read."),
    ] = None,
    force: Force = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Write the whole state of a commit to a folder: tensors.safetensors and commit.json.

    Every byte is checked. The folder appears when all of it is on the disk. `carousel checkpoints import`
    makes a commit of tensors.safetensors again, of the same id.
    """
    from pipelines.display.waiting import told
    from pipelines.runs.near import asked_for
    from pipelines.surroundings.session import connected
    from storage.checkpoints.transfer.extracting import extract

    run, wanted = parted(commit)
    with connected(storage_config(config, assign), settings(context).root) as connection:
        repository = connection.existing_repository()
        with told("restoring") as progress, asked_for(run, repository):
            result = extract(
                repository.shelf,
                run,
                wanted,
                into,
                globs=tensor or (),
                replace=force,
                progress=progress,
            )
    _tell(run, result, into, as_json)


def export(
    context: typer.Context,
    commit: Address,
    file: Annotated[Path, typer.Argument(help="A new file; its end says the format: .safetensors or .pt")],
    below: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX",
            help='Only tensors whose names begin so, without it; "" means all. '
            "[default: average/module., model/ or model., the first that there is]",
        ),
    ] = None,
    force: Force = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Write a commit's model to one file that other tools load: its weights, by the model's own names.

    `safetensors.torch.load_file(FILE)`, or `torch.load(FILE, weights_only=True)`, gives what
    `load_state_dict` takes.
    """
    from lstm.checkpoints.exporting import export as write
    from pipelines.display.waiting import told
    from pipelines.runs.near import asked_for
    from pipelines.surroundings.session import connected

    run, wanted = parted(commit)
    with connected(storage_config(config, assign), settings(context).root) as connection:
        repository = connection.existing_repository()
        with told("exporting") as progress, asked_for(run, repository):
            result, prefix = write(
                repository.shelf, run, wanted, file, below=below, replace=force, progress=progress
            )
    _tell(run, result, file, as_json, prefix)


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file of safetensors, or of torch.save (weights only).")],
    run: Annotated[str, typer.Option(metavar="RUN", help="A new run, or one of earlier imports.")],
    step: Annotated[int, typer.Option(min=0, max=2**62, help="The commit's step.")] = 0,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Name the commit. Repeatable.")] = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Say something about it.")] = "",
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
    as_json: AsJson = False,
) -> None:
    """Make a commit of a file; the same file again adds nothing.

    No code of the file runs: tensors and plain values are taken, anything else is refused.
    """
    from lstm.checkpoints.other_files import open_state
    from pipelines.display.waiting import waiting
    from pipelines.surroundings.session import connected
    from pipelines.upkeep.sizes import size_text
    from storage.checkpoints.transfer.importing import import_state

    storage = storage_config(config, assign)
    with open_state(file) as (tensors, meta), connected(storage, settings(context).root) as connection:
        repository = connection.repository()
        with waiting(f"importing {file.name}"):
            result = import_state(repository, run, tensors, meta, step=step, tags=tag or (), note=note)
        count = len(tensors)
    commit = result.commit
    if as_json:
        names = ("id", "step", "tags", "note", "raw_bytes", "new_bytes")
        described = {name: getattr(commit, name) for name in names}
        print_json({"run": run, **described, "tensors": count, "added": result.added})
    elif result.added:
        stored = size_text(commit.new_bytes)
        console().print(
            f"{run}/{commit.id}, step {commit.step}: {count:,} tensors, {size_text(commit.raw_bytes)}, "
            f"stored in {stored}"
        )
    else:
        console().print(
            f"{run}/{commit.id}, step {commit.step}, is this very state already; nothing was added"
        )


def _tell(run: str, result: "Extracted", path: Path, as_json: bool, prefix: str | None = None) -> None:
    from pipelines.upkeep.sizes import size_text

    commit = result.commit
    if as_json:
        below = {} if prefix is None else {"below": prefix}
        counts = {"tensors": result.tensors, "of": result.of, "raw_bytes": result.raw_bytes}
        which = {"run": run, "id": commit.id, "step": commit.step, "skipped": result.skipped}
        print_json({**which, "path": path, **counts, **below})
        return
    for note in result.skipped:
        console().print(note)
    below_it = f" below {prefix}" if prefix else ""
    console().print(
        f"{run}/{commit.id}, step {commit.step}: {result.tensors:,} of {result.of:,} tensors{below_it}, "
        f"{size_text(result.raw_bytes)}, are in {path}"
    )
