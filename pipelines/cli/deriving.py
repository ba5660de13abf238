"""What `train --table` and `config init --table` share: their options, and what they do with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.display.terminal import console

if TYPE_CHECKING:
    from pipelines.derive.derive import Derived
    from pipelines.derive.places import Places
    from pipelines.derive.request import Request

_TABLE, _PLACE = "Settings from a table", "Where things are"

TableUri = Annotated[
    str | None,
    typer.Option(
        "--table",
        help="Choose every setting by looking at this table: s3://bucket/key.",
        rich_help_panel=_TABLE,
    ),
]
Time = Annotated[
    str | None, typer.Option(help="Column that orders the rows of a series.", rich_help_panel=_TABLE)
]
Entity = Annotated[
    str | None,
    typer.Option(help='Column that tells series apart; "" for none.', rich_help_panel=_TABLE),
]
Target = Annotated[str | None, typer.Option(help="Column to forecast.", rich_help_panel=_TABLE)]
Past = Annotated[
    list[str] | None,
    typer.Option(help='Further column that the model sees; repeatable; "" for none.', rich_help_panel=_TABLE),
]
Horizon = Annotated[int | None, typer.Option(help="Rows to forecast.", rich_help_panel=_TABLE)]
Minutes = Annotated[
    float | None, typer.Option(help="How long training may take.", show_default="3", rich_help_panel=_TABLE)
]
Timezone = Annotated[
    str | None,
    typer.Option(
        help="Whose clock the series follow: Europe/Paris.", show_default="UTC", rich_help_panel=_TABLE
    ),
]
RunName = Annotated[
    str | None,
    typer.Option("--run", help="Name of the run; after the table if not given.", rich_help_panel=_TABLE),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(
        help="S3-compatible server of the table, or `aws`; the embedded one if not given.",
        rich_help_panel=_PLACE,
    ),
]
Profile = Annotated[
    str | None, typer.Option(help="Profile of ~/.aws with the table's keys.", rich_help_panel=_PLACE)
]
Catalog = Annotated[
    str | None, typer.Option(help="Iceberg catalog that knows the table: its URL.", rich_help_panel=_PLACE)
]
Warehouse = Annotated[
    str | None, typer.Option(help="Warehouse that the catalog is asked for.", rich_help_panel=_PLACE)
]
RepositoryUri = Annotated[
    str | None,
    typer.Option(
        "--repository",
        help="Where checkpoints and forecasts go: s3://bucket/prefix, or `local` (the embedded server); "
        "beside the table if not given.",
        rich_help_panel=_PLACE,
    ),
]
RepositoryEndpointUrl = Annotated[
    str | None, typer.Option(help="Server of the repository, if another.", rich_help_panel=_PLACE)
]
RepositoryProfile = Annotated[
    str | None, typer.Option(help="Profile with the repository's keys, if another.", rich_help_panel=_PLACE)
]


def request(
    *,
    time: str | None,
    entity: str | None,
    target: str | None,
    past: list[str] | None,
    horizon: int | None,
    minutes: float | None,
    timezone: str | None,
) -> "Request":
    """The user's wishes; no `--past` at all leaves the columns to be chosen."""
    from pipelines.derive.request import Request

    return Request(
        time=time,
        entity=entity,
        target=target,
        past=None if not past else tuple(name for name in past if name),
        horizon=horizon,
        minutes=minutes,
        timezone=timezone,
    )


@contextmanager
def server_of(places: "Places", root: Path) -> Iterator[None]:
    """Keep the embedded server, where the places are on it, from being ended between two uses."""
    from pipelines.derive.places import storage_and_access
    from pipelines.derive.reasons import Reasons
    from pipelines.surroundings.session import connected

    storage, _ = storage_and_access(places, Reasons())
    with connected(storage, root):
        yield


def derive_and_write(
    places: "Places",
    wish: "Request",
    root: Path,
    path: Path,
    *,
    run: str | None,
    assignments: list[str] | None,
) -> "Derived":
    """Derive a run, show every choice with its reason, and write it to `path`."""
    from pipelines.derive.derive import derive
    from pipelines.derive.explain import lines
    from pipelines.derive.file import check_writable, write
    from pipelines.display.terminal import short

    check_writable(path)
    derived = derive(places, wish, root, run=run, assignments=assignments or ())
    write(path, derived)
    notes = console(stderr=True)
    for line in lines(derived.config, derived.reasons):
        notes.print(f"  {line}")
    notes.print(f"  all of it is in {short(path)}, with the reasons; change what you know better")
    return derived


def refuse_options_of_a_table(context: typer.Context, read: set[str]) -> None:
    """Without --table nobody would read them; `read`: the parameters that are read without it."""
    from storage.errors import UserError

    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in read
        and context.params.get(parameter.name or "") not in (None, [], (), False)
    ]
    if given:
        raise UserError(
            f"{', '.join(given)}: read only with --table, where settings are chosen; add --table "
            "s3://bucket/key, or change the settings file"
        )
