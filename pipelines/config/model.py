"""What a run's YAML file holds: one section per part, each the frozen dataclass that the part itself owns."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, WithJsonSchema, field_validator

from lstm.tasks.forecast_config import ForecastConfig
from lstm.training.config import TrainingConfig
from lstm.training.job import Job, TableAccess, TableRef
from lstm.windows.spec import OrderSpec, SplitSpec, WindowSpec
from pipelines.config.storage import AccessConfig, CatalogConfig, Section, StorageConfig

TableFormat = Literal["delta", "iceberg"]

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_DURATION = r"([0-9]+(?:\.[0-9]+)?) ?(s|min|h|d)"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def _duration(value: Any) -> Any:
    """`30s`, `10min`, `1h`, `2d`; anything else is left for pydantic to refuse."""
    found = re.fullmatch(_DURATION, value) if isinstance(value, str) else None
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]]) if found else value


def _duration_text(value: timedelta | None) -> str | None:
    """The inverse of `_duration`, in the largest unit that fits."""
    if value is None:
        return None
    seconds = value.total_seconds()
    unit = next((unit for unit, length in reversed(_UNITS.items()) if seconds % length == 0), "s")
    count = f"{seconds / _UNITS[unit]:.6f}".rstrip("0").rstrip(".")  # whole, but for seconds
    return f"{count}{unit}"


Duration = Annotated[
    timedelta | None,
    BeforeValidator(_duration),
    PlainSerializer(_duration_text),
    # editors would check `1h` against ISO 8601's durations
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_DURATION}$"}, {"type": "null"}]}),
]


RunName = Annotated[str, Field(pattern=_NAME, max_length=100)]


def _text(value: Any) -> Any:
    """A snapshot's id is text, though it may look like a number."""
    return str(value) if type(value) is int else value


class TableConfig(Section):
    """The table to learn from."""

    uri: str
    """`s3://bucket/key`; for Iceberg also `namespace.name` or `s3://...metadata.json` (read only)."""
    format: TableFormat = "delta"
    """Which kind of table it is."""
    entity: str | None = None
    """Column that tells series apart; null: the table is one series."""
    time: str
    """Column that orders the rows of a series."""
    snapshot: Annotated[str | None, BeforeValidator(_text)] = None
    """Snapshot to pin; null: the newest one when the run starts."""
    max_gap: Duration = None
    """Longest time between two rows of one segment (`1h`, `10min`, `2d`); null: never cut."""
    grid: Duration = None
    """Time between two rows of a series (`1h`, `10min`, `1d`), of which the table may lack some: those are
    read as rows without values, up to gaps of `max_gap`, and the column `observed` is 0 there; null: none."""
    access: AccessConfig | None = None
    """Where the table is read, if elsewhere than `storage` or with other keys; null: as `storage` is."""


class PredictionsConfig(Section):
    """The table that forecasts are appended to."""

    uri: str
    """`s3://bucket/key` (Iceberg: also `namespace.name`)."""
    format: TableFormat = "delta"
    """Which kind of table to create."""


class RunConfig(Section):
    """One run: what it reads, how it learns, where it keeps what it learned."""

    run: RunName
    """The run's name: letters, digits, `.`, `_`, `-`."""
    storage: StorageConfig = StorageConfig()
    """Where the bucket is."""
    table: TableConfig
    """What is read."""
    window: WindowSpec
    """How series are cut into windows."""
    split: SplitSpec = SplitSpec()
    """Which windows are for training, validation and test."""
    order: OrderSpec = OrderSpec()
    """In which order windows come."""
    forecast: ForecastConfig
    """What is learned, from which columns, by which model."""
    training: TrainingConfig = TrainingConfig()
    """How it is trained."""
    predictions: PredictionsConfig
    """Where forecasts go."""

    @field_validator("split")
    @classmethod
    def _something_is_validated(cls, split: SplitSpec) -> SplitSpec:
        if "validation" not in split.wanted:
            raise ValueError(
                "SplitSpec.validation must be > 0, since it tells when to stop and which commit is best; "
                "0.05 leaves nearly all rows for training"
            )
        return split

    @field_validator("predictions")
    @classmethod
    def _forecasts_go_elsewhere(
        cls, predictions: PredictionsConfig, info: ValidationInfo
    ) -> PredictionsConfig:
        table: TableConfig | None = info.data.get("table")
        if table is not None and predictions.uri.rstrip("/") == table.uri.rstrip("/"):
            raise ValueError("PredictionsConfig.uri is the table that is read; name another one")
        return predictions

    def named(self, run: str) -> Self:
        """The same settings for a run of another name."""
        return self.model_copy(update={"run": run})

    def job(self, snapshot: str) -> Job:
        """The job that the ranks run: this config with its snapshot pinned."""
        table = self.table
        return Job(
            run=self.run,
            bucket=self.storage.bucket,
            repository=self.storage.repository,
            table=TableRef(
                uri=table.uri,
                format=table.format,
                snapshot=snapshot,
                entity=table.entity,
                time=table.time,
                max_gap_s=None if table.max_gap is None else table.max_gap.total_seconds(),
                grid_s=None if table.grid is None else table.grid.total_seconds(),
                access=_frozen(table.access),
            ),
            window=self.window,
            split=self.split,
            order=self.order,
            forecast=self.forecast,
            training=self.training,
        )


def access_of(table: TableRef, settings: TableConfig | None = None) -> AccessConfig | None:
    """How a job's table is reached: as its settings say now where they are at hand, else as the job froze it.

    So a table that has moved, or whose profile is called otherwise on another machine, is found all the same.
    """
    if settings is not None and settings.uri == table.uri and settings.access is not None:
        return settings.access
    frozen = table.access
    if frozen is None:
        return None
    uri = frozen.catalog_uri
    return AccessConfig(
        endpoint_url=frozen.endpoint_url,
        region=frozen.region,
        profile=frozen.profile,
        requests_per_second=frozen.requests_per_second,
        catalog=None if uri is None else CatalogConfig(uri=uri, warehouse=frozen.catalog_warehouse),
    )


def _frozen(access: AccessConfig | None) -> TableAccess | None:
    """The inverse of `access_of`."""
    if access is None:
        return None
    catalog = access.catalog
    return TableAccess(
        endpoint_url=access.endpoint_url,
        region=access.region,
        profile=access.profile,
        requests_per_second=access.requests_per_second,
        catalog_uri=None if catalog is None else catalog.uri,
        catalog_warehouse=None if catalog is None else catalog.warehouse,
    )
