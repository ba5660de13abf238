"""What all commands share: the global options, and the options that several of them take.

Only typer and the standard library are imported here, so that help stays quick.
"""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.config.model import RunConfig
    from pipelines.config.storage import StorageConfig

DEFAULT_CONFIG = Path("carousel.yaml")


@dataclass(slots=True)
class Settings:
    """The global options of one command line; commands find them as `context.obj`."""

    root: Path = Path(".carousel")
    debug: bool = False
    began: float = field(default_factory=time.monotonic)
    """When the command began, by the monotonic clock."""


ConfigPath = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="CAROUSEL_CONFIG",
        help="The run's YAML file: `carousel config init` writes one.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="KEY=VALUE", help="Override one setting: training.steps=100. Repeatable."
    ),
]


def run_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of runs that were launched under the root, for the shell's completion: no server is asked."""
    named = context.find_root().params.get("root") or os.environ.get("CAROUSEL_ROOT") or Settings().root
    launched = (Path(named) / "runs").glob("*.json")
    return sorted(path.stem for path in launched if path.stem.startswith(incomplete))


def settings(context: typer.Context) -> Settings:
    """The global options of this command line."""
    found = context.find_object(Settings)
    assert found is not None
    return found


def called(root: Path) -> str:
    """How this command line calls `carousel`, for hints that a person can copy."""
    from pipelines.display.terminal import program, short

    return program() if root == Settings().root.resolve() else f"{program()} --root {short(root)}"


def run_config(path: Path, assignments: list[str] | None) -> "RunConfig":
    """The run that the command is about."""
    from pipelines.display.waiting import waiting

    with waiting("reading the settings"):  # their parts belong to modules that import PyTorch
        from pipelines.config.load import load

        return load(path, assignments=assignments or ())


def storage_config(path: Path, assignments: list[str] | None, *, also: str | None = None) -> "StorageConfig":
    """Where the bucket is; without a file of settings, the embedded server.

    Args:
        path: the file of settings.
        assignments: of `storage` only: another would be read by nobody.
        also: the one key beside it that the command reads.

    Raises:
        ConfigError: a setting is wrong, or would be read by nobody.
    """
    from pipelines.config.storage import default_storage
    from pipelines.config.text import ConfigError

    for assignment in assignments or ():
        key = assignment.partition("=")[0].strip()
        if key.partition(".")[0] not in ("storage", also):
            raise ConfigError(
                f"--set {key} has no effect here: this command reads only `storage` of the settings, and a "
                "run's job is frozen when it begins; leave it out, or `carousel train` another run with it"
            )
    if path == DEFAULT_CONFIG and not path.exists():
        return default_storage(assignments or ())
    from pipelines.display.waiting import waiting

    with waiting("reading the settings"):
        from pipelines.config.load import load_storage

        return load_storage(path, assignments=assignments or ())


def storage_and_run(
    run: str | None, path: Path, assignments: list[str] | None
) -> tuple["StorageConfig", str]:
    """Where the bucket is, and the run that a command is about: the one it was given, else the settings' own.

    Raises:
        ConfigError: as `storage_config`; of a run that was given, `run` is no setting that is read.
    """
    storage = storage_config(path, assignments, also=None if run else "run")
    return storage, run or run_config(path, assignments).run
