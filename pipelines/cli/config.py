"""`carousel config`: write, check and describe a run's YAML file."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_config
from pipelines.terminal import console

commands = typer.Typer(help="Write, check and describe a run's YAML file.", no_args_is_help=True)


@commands.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write the demo's run as a YAML file that explains every key: a start for your own."""
    from pipelines.config.template import template
    from pipelines.config.text import ConfigError
    from pipelines.demo import demo_config

    if path.exists() and not force:
        raise ConfigError(f"{path} exists already; --force replaces it, or give another path")
    text = template(demo_config("delta"))
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; give another path") from error
    console().print(f"wrote {path}; next: name your table and columns in it, then carousel config check")


@commands.command()
def check(config: ConfigPath = DEFAULT_CONFIG, assign: Assignments = None) -> None:
    """Check the settings as a run would, environment and --set included."""
    checked = run_config(config, assign)
    console().print(
        f"{config}: fine. Run {checked.run!r} reads {checked.table.uri} ({checked.table.format})."
    )


@commands.command()
def schema() -> None:
    """Print the JSON schema of the YAML file; editors complete and check with it."""
    from pipelines.config.template import schema as json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
