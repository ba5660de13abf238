"""`carousel config`: write, check and describe a run's YAML file."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli import deriving
from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_config, settings
from pipelines.display.terminal import console

if TYPE_CHECKING:
    from pipelines.derive.places import Places
    from pipelines.derive.request import Request

commands = typer.Typer(help="Write, check and describe a run's YAML file.", no_args_is_help=True)


@commands.command(epilog="Example: carousel config init --table s3://lake/rows --target load")
def init(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_CONFIG,
    table: deriving.TableUri = None,
    time: deriving.Time = None,
    entity: deriving.Entity = None,
    target: deriving.Target = None,
    past: deriving.Past = None,
    horizon: deriving.Horizon = None,
    minutes: deriving.Minutes = None,
    timezone: deriving.Timezone = None,
    run: deriving.RunName = None,
    endpoint_url: deriving.EndpointUrl = None,
    profile: deriving.Profile = None,
    catalog: deriving.Catalog = None,
    warehouse: deriving.Warehouse = None,
    repository: deriving.RepositoryUri = None,
    repository_endpoint_url: deriving.RepositoryEndpointUrl = None,
    repository_profile: deriving.RepositoryProfile = None,
    example: Annotated[
        bool, typer.Option("--example", help="Write the demo's settings instead, to change by hand.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    assign: Assignments = None,
) -> None:
    """Write a run's YAML file: choose its settings by looking at a table, each with its reason beside it.

    Without --table it asks the few questions that it needs, on a terminal.
    """
    from pipelines.config.text import ConfigError
    from pipelines.derive.places import Places
    from pipelines.display.terminal import short

    if path.exists() and not force:
        raise ConfigError(f"{path} exists already; --force replaces it, or give another path")
    if example:
        _write_example(path)
        return
    asking = table is None
    if table is None:
        if not sys.stdin.isatty():
            raise ConfigError(
                "which table? Say it with --table s3://bucket/key (and --time, --entity, --target where "
                "they cannot be told from the table); on a terminal it asks, and --example writes the "
                "demo's settings"
            )
        table = typer.prompt("Table (s3://bucket/key)", err=True)
        endpoint_url = endpoint_url or _asked("Its S3 server (`aws`, or empty for the embedded one)")
    places = Places(
        table=table,
        endpoint_url=endpoint_url,
        profile=profile,
        catalog=catalog,
        warehouse=warehouse,
        repository=repository,
        repository_endpoint_url=repository_endpoint_url,
        repository_profile=repository_profile,
    )
    wish = deriving.request(
        time=time,
        entity=entity,
        target=target,
        past=past,
        horizon=horizon,
        minutes=minutes,
        timezone=timezone,
    )
    root = settings(context).root
    with deriving.server_of(places, root):
        if asking:
            wish = _asked_about(places, wish, root)
        deriving.derive_and_write(places, wish, root, path, run=run, assignments=assign)
    of = "" if path == DEFAULT_CONFIG else f" -c {short(path)}"
    console().print(f"wrote {short(path)}; next: carousel train{of}")


def _asked_about(places: "Places", wish: "Request", root: Path) -> "Request":
    """Ask for what was not told by an option, with what the table suggests as the answer."""
    from dataclasses import replace

    from pipelines.derive.preview import preview

    found = preview(places, wish, root)
    notes = console(stderr=True)
    notes.print(f"  {found.summary}")
    if wish.time is None:
        wish = replace(wish, time=_asked("Column of the time", found.time))
    if wish.entity is None:
        wish = replace(
            wish, entity=_asked("Column that tells series apart (- for none)", found.entity or "-") or ""
        )
        wish = replace(wish, entity="" if wish.entity == "-" else wish.entity)
    if wish.target is None:
        wish = replace(wish, target=_asked(f"Column to forecast (of {found.numbers})", found.target))
    if wish.horizon is None:
        told = _asked("Rows to forecast (empty: as the sampling suggests)")
        wish = replace(wish, horizon=_whole(told))
    return replace(
        wish, minutes=typer.prompt("Minutes of training", default=wish.budget, type=float, err=True)
    )


def _asked(question: str, default: str | None = None) -> str | None:
    answer: str = typer.prompt(question, default=default or "", show_default=default is not None, err=True)
    return answer.strip() or None


def _whole(text: str | None) -> int | None:
    from pipelines.config.text import ConfigError

    if text is None:
        return None
    if not text.isdecimal():
        raise ConfigError(f"{text!r} is no number of rows; give a whole number, or nothing")
    return int(text)


def _write_example(path: Path) -> None:
    from pipelines.config.template import template
    from pipelines.config.text import ConfigError
    from pipelines.demo.settings import demo_config

    text = template(demo_config("delta"))
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; give another path") from error
    console().print(f"wrote {path}; next: name your table and columns in it, then carousel config check")


@commands.command(epilog="Example: carousel config check -c carousel.yaml --json")
def check(config: ConfigPath = DEFAULT_CONFIG, assign: Assignments = None, as_json: AsJson = False) -> None:
    """Check the settings as a run would, environment and --set included."""
    checked = run_config(config, assign)
    if as_json:  # with every default: what a run would do
        print_json(checked.model_dump(mode="json"))
        return
    console().print(
        f"{config}: fine. Run {checked.run!r} reads {checked.table.uri} ({checked.table.format})."
    )


@commands.command(epilog="Example: carousel config schema > carousel.schema.json")
def schema() -> None:
    """Print the JSON schema of the YAML file; editors complete and check with it."""
    from pipelines.config.template import schema as json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
