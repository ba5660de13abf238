"""`carousel train` and `carousel resume`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli import deriving
from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import (
    DEFAULT_CONFIG,
    Assignments,
    ConfigPath,
    run_config,
    run_names,
    settings,
    storage_config,
)
from pipelines.display.terminal import console
from storage.errors import UserError

if TYPE_CHECKING:
    from pipelines.config.model import RunConfig
    from pipelines.derive.places import Places
    from pipelines.derive.request import Request


def train(
    context: typer.Context,
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
    force: Annotated[
        bool, typer.Option("--force", help="With --table: choose anew, and replace the settings file.")
    ] = False,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Train a new run: of a settings file, or of a --table, whose settings are chosen by looking at it.

    With --table every setting is chosen, shown with its reason, and written to the settings file (-c).
    `evaluate`, `score` and `report` read it. A file that is there for this table is used as it is.
    """
    root = settings(context).root
    if table is None:
        deriving.refuse_options_of_a_table(context, {"table", "as_json", "config", "assign"})
        _train(run_config(config, assign), root, as_json=as_json)
        return
    from pipelines.derive.places import Places

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
    known = None if force else _known(config, places, wish, run, assign)
    if known is not None:
        _train(known, root, as_json=as_json)
        return
    with deriving.server_of(places, root):
        derived = deriving.derive_and_write(places, wish, root, config, run=run, assignments=assign)
        _train(derived.config, root, as_json=as_json)


def _known(
    path: Path, places: "Places", wish: "Request", run: str | None, assign: list[str] | None
) -> "RunConfig | None":
    """The settings that are there already, which are used as they are."""
    from pipelines.derive.agreement import check_agreement
    from pipelines.derive.file import settings_for

    if settings_for(path, places.table) is None:
        return None
    known = run_config(path, assign)
    check_agreement(path, known, wish, places)
    console(stderr=True).print(f"  settings of {path}, as they are; --force chooses anew")
    return known if run is None else known.named(run)


def _train(config: "RunConfig", root: Path, *, as_json: bool) -> None:
    from pipelines.display.summary import trained_line
    from pipelines.surroundings.session import flow_session

    with flow_session(config.storage, root):
        from pipelines.flows import train as flows

        done = flows.train(config, root)
    if as_json:
        print_json(done)
    else:
        console().print(trained_line(done))


def resume(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run's name.", autocompletion=run_names)],
    ranks: Annotated[
        int | None,
        typer.Option(min=1, help="Train on another number of ranks: same batches, not the same bits."),
    ] = None,
    snapshot: Annotated[
        str | None,
        typer.Option(
            metavar="newest|ID",
            help="Go on with another snapshot of the table: a new plan; weights and scaling are kept.",
        ),
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Go on with a run that was cut short, from its newest complete checkpoint."""
    from pipelines.display.summary import trained_line
    from pipelines.surroundings.session import flow_session

    storage, root = storage_config(config, assign), settings(context).root
    with flow_session(storage, root):
        from pipelines.flows import train as flows
        from pipelines.surroundings.connect import connect

        done = flows.finished_run(connect(storage, root), run)
        if done is None:
            done = flows.resume(storage, run, root, ranks, snapshot)
        elif snapshot is not None:
            raise UserError(
                f"run {run!r} is finished, with {done.step:,} steps: it has none left for another snapshot; "
                "train a new run on it"
            )
        else:
            console(stderr=as_json).print(f"run {run} is finished; nothing is left to train")
    if as_json:
        print_json(done)
    else:
        console().print(trained_line(done))
