"""`carousel windows`: what a plan comes to, before anything is trained."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli import deriving
from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, run_config, settings
from pipelines.display.terminal import console

if TYPE_CHECKING:
    from lstm.windows import Plan
    from pipelines.config.model import RunConfig
    from pipelines.derive.places import Places
    from pipelines.derive.request import Request
    from pipelines.windows.inspection import Inspection

commands = typer.Typer(help="Windows of a table, before anything is trained: inspect.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """Windows of a table, before anything is trained: inspect."""  # keeps a group of one command a group


_UNTRAINED = "training.steps=1"
"""A plan has no steps, so none are rehearsed to find out how many there is time for."""


@commands.command(epilog="Example: carousel windows inspect --table s3://lake/flights --picture plan.svg")
def inspect(
    context: typer.Context,
    table: deriving.TableUri = None,
    time: deriving.Time = None,
    entity: deriving.Entity = None,
    target: deriving.Target = None,
    past: deriving.Past = None,
    horizon: deriving.Horizon = None,
    endpoint_url: deriving.EndpointUrl = None,
    profile: deriving.Profile = None,
    catalog: deriving.Catalog = None,
    warehouse: deriving.Warehouse = None,
    ranks: Annotated[
        int | None, typer.Option(help="Ranks that would train; those of the settings if not given.", min=1)
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Also draw the plan into this file, an .svg.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Show the plan of a --table, or of a settings file: series, gaps, splits, windows, layout, bytes.

    With --table the settings are chosen as `train --table` would choose them, and not written anywhere;
    --set window.context=96 and the like go before what is chosen.
    """
    from pipelines.windows.picture import picture as drawn
    from pipelines.windows.shown import lines

    if picture is not None:
        _check_picture(picture)
    root = settings(context).root
    with ExitStack() as stack:
        if table is None:
            used = {"table", "ranks", "picture", "as_json", "config", "assign"}
            deriving.refuse_options_of_a_table(context, used)
            wanted = run_config(config, assign)
        else:
            from pipelines.derive.places import Places

            _refuse_settings_file(context, config)
            places = Places(
                table=table, endpoint_url=endpoint_url, profile=profile, catalog=catalog, warehouse=warehouse
            )
            wish = deriving.request(
                time=time,
                entity=entity,
                target=target,
                past=past,
                horizon=horizon,
                minutes=None,
                timezone=None,
            )
            stack.enter_context(deriving.server_of(places, root))
            wanted = _derived(places, wish, root, assign)
        plan, found = _inspected(wanted, root, ranks)
    if picture is not None:
        _write(picture, drawn(plan, found))
    if as_json:
        print_json(found)
        return
    out = console()
    for line in lines(found):
        out.print(line, soft_wrap=isinstance(line, str))
    if picture is not None:
        out.print(f"\nthe picture is in {picture}")


def _derived(places: "Places", wish: "Request", root: Path, assign: list[str] | None) -> "RunConfig":
    from pipelines.derive.derive import derive

    return derive(places, wish, root, assignments=[_UNTRAINED, *(assign or ())]).config


def _inspected(wanted: "RunConfig", root: Path, ranks: int | None) -> "tuple[Plan, Inspection]":
    from lstm.training.planning import plan_for
    from lstm.training.start import pinned_snapshot
    from pipelines.display.waiting import waiting
    from pipelines.flows.train import pinned_job
    from pipelines.surroundings.session import connected
    from pipelines.windows.inspection import inspect
    from storage.errors import UserError

    ranks = ranks or wanted.training.ranks
    if ranks > wanted.order.lanes:
        raise UserError(
            f"{ranks} ranks cannot share {wanted.order.lanes} lanes; ask for at most that many, or for more "
            "lanes: --set order.lanes=…"
        )
    with connected(wanted.storage, root) as reached, waiting("looking through the table's rows"):
        connection = reached.reading(wanted.table.access)
        job = pinned_job(wanted, connection)
        snapshot = pinned_snapshot(job, connection.data)
        plan = plan_for(job, snapshot, connection.bucket)
        columns = job.forecast.features
        return plan, inspect(snapshot, plan, columns, ranks=ranks, memory_mib=wanted.training.memory_mib)


def _refuse_settings_file(context: typer.Context, config: Path) -> None:
    """With --table nobody would read it."""
    from storage.errors import UserError

    if getattr(context.get_parameter_source("config"), "name", "") == "COMMANDLINE":
        raise UserError(
            f"--config {config} and --table: either the file has the settings, or they are chosen by looking "
            "at the table; leave one out, or give single settings beside --table: --set window.context=96"
        )


def _check_picture(path: Path) -> None:
    """Refuse a bad place before the table is looked through."""
    from storage.errors import UserError

    if path.suffix.lower() != ".svg":
        raise UserError(f"--picture {path}: pictures are drawn as SVG; name a file that ends in .svg")
    if not path.parent.is_dir():
        raise UserError(f"--picture {path}: there is no folder {path.parent}; make it, or name another file")


def _write(path: Path, text: str) -> None:
    from storage.errors import UserError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--picture {path} cannot be written: {error.strerror}; name another file") from error
