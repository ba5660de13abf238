"""What a run's YAML file holds: one section per part, each the frozen dataclass that the part itself owns."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from lstm.tasks.forecast import ForecastConfig
from lstm.training.config import TrainingConfig
from lstm.training.job import Job, TableRef
from lstm.windows.spec import OrderSpec, SplitSpec, WindowSpec

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def _duration(value: Any) -> Any:
    """`30s`, `10min`, `1h`, `2d`; anything else is left to pydantic, which reads ISO 8601."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|h|d)", value) if isinstance(value, str) else None
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]]) if found else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class CatalogConfig(_Section):
    """An Iceberg catalog; its credential comes from `CAROUSEL_CATALOG_CREDENTIAL` (`id:secret`)."""

    uri: str
    """`https://...` is a REST catalog; anything else a database URL for pyiceberg's SQL catalog."""
    warehouse: str | None = None
    """The warehouse that the catalog is asked for."""


class StorageConfig(_Section):
    """The bucket. Keys never stand here: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the AWS chain."""

    endpoint_url: Annotated[str, Field(pattern=r"^(aws|https?://\S+)$")] | None = None
    """An S3-compatible server (`https://...`), or `aws`; null: the embedded server under `--root`."""
    region: str = "us-east-1"
    """The bucket's region."""
    bucket: Annotated[str, Field(min_length=3, max_length=63)] = "lake"
    """Bucket of the checkpoints, and of tables without one of their own."""
    repository: Annotated[str, Field(min_length=1)] = "checkpoints"
    """Prefix in the bucket under which the checkpoints of all runs are kept."""
    catalog: CatalogConfig | None = None
    """Iceberg only: where tables are registered; null: the embedded server's own catalog."""


class TableConfig(_Section):
    """The table to learn from."""

    uri: str
    """`s3://bucket/key`; for Iceberg also `namespace.name` or `s3://...metadata.json` (read only)."""
    format: Literal["delta", "iceberg"] = "delta"
    """Which kind of table it is."""
    entity: str | None = None
    """Column that tells series apart; null: the table is one series."""
    time: str
    """Column that orders the rows of a series."""
    snapshot: str | None = None
    """Snapshot to pin; null: the newest one when the run starts."""
    max_gap: Annotated[timedelta | None, BeforeValidator(_duration)] = None
    """Longest time between two rows of one segment (`1h`, `10min`, `2d`); null: never cut."""


class PredictionsConfig(_Section):
    """The table that forecasts are appended to."""

    uri: str
    """`s3://bucket/key` (Iceberg: also `namespace.name`)."""
    format: Literal["delta", "iceberg"] = "delta"
    """Which kind of table to create."""


class RunConfig(_Section):
    """One run: what it reads, how it learns, where it keeps what it learned."""

    run: Annotated[str, Field(pattern=_NAME, max_length=100)]
    """The run's name: letters, digits, `.`, `_`, `-`."""
    storage: StorageConfig = StorageConfig()
    """Where the bucket is."""
    table: TableConfig
    """What is read."""
    window: WindowSpec
    """How series are cut into windows."""
    split: SplitSpec
    """Which windows are for training, validation and test."""
    order: OrderSpec = OrderSpec()
    """In which order windows come."""
    forecast: ForecastConfig
    """What is learned, from which columns, by which model."""
    training: TrainingConfig = TrainingConfig()
    """How it is trained."""
    predictions: PredictionsConfig
    """Where forecasts go."""

    def job(self, snapshot: str, table_uri: str | None = None) -> Job:
        """The job that the ranks run: this config with its snapshot pinned."""
        table = self.table
        return Job(
            run=self.run,
            bucket=self.storage.bucket,
            repository=self.storage.repository,
            table=TableRef(
                uri=table_uri or table.uri,
                format=table.format,
                snapshot=snapshot,
                entity=table.entity,
                time=table.time,
                max_gap_s=None if table.max_gap is None else table.max_gap.total_seconds(),
            ),
            window=self.window,
            split=self.split,
            order=self.order,
            forecast=self.forecast,
            training=self.training,
        )
