"""A job: everything a rank needs to know to train a run, as plain values without secrets.

It is frozen in every commit, so a run can be resumed from the bucket alone. Keys to the bucket are
not part of it: ranks get them in their environment.
"""

from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, Literal, Self

from lstm.tasks.forecast_config import ForecastConfig
from lstm.training.config import TrainingConfig
from lstm.windows.spec import OrderSpec, SplitSpec, WindowSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class TableAccess:
    """Where a table is read that lies elsewhere than the repository; whose keys, but no keys."""

    endpoint_url: str | None = None
    """An S3-compatible server; None or `aws`: AWS, or what the AWS settings of this machine name."""
    region: str | None = None
    """None: what the AWS settings say."""
    profile: str | None = None
    """Profile of the shared AWS files that has the keys; None: the usual AWS chain."""
    requests_per_second: float | None = None
    """The most requests that one process sends to the server; None: no limit."""
    catalog_uri: str | None = None
    """Iceberg only: the catalog that knows the table; None: it is opened by where it lies."""
    catalog_warehouse: str | None = None
    """The warehouse that the catalog is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRef:
    """One snapshot of a table, and which of its columns are the key and the clock."""

    uri: str
    """`s3://bucket/key` of the table."""
    format: Literal["delta", "iceberg"]
    """Which kind of table it is."""
    snapshot: str
    """The pinned snapshot's id; nothing later looks at "latest"."""
    entity: str | None
    """Column that tells series apart; None: the table is one series."""
    time: str
    """Column that orders a series."""
    max_gap_s: float | None
    """Seconds between two rows above which a series is cut; None: never."""
    grid_s: float | None = None
    """Seconds between two rows of a series, of which the table may lack some; None: it has its own rows."""
    access: TableAccess | None = None
    """How the table is reached; None: as the repository is."""

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `asdict`; also of one that was frozen before `access` or `grid_s` was known."""
        access = values.get("access")
        return cls(**{**values, "access": access and TableAccess(**access)})

    @property
    def max_gap(self) -> timedelta | None:
        """`max_gap_s` as a duration."""
        return None if self.max_gap_s is None else timedelta(seconds=self.max_gap_s)

    @property
    def grid(self) -> timedelta | None:
        """`grid_s` as a duration."""
        return None if self.grid_s is None else timedelta(seconds=self.grid_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One run: what it reads, where it keeps its checkpoints, how it is trained."""

    run: str
    """Name of the run; its head is `runs/<run>/head` in the repository."""
    bucket: str
    """Bucket that holds the repository."""
    repository: str
    """Prefix of the repository in that bucket."""
    table: TableRef
    window: WindowSpec
    split: SplitSpec
    order: OrderSpec
    forecast: ForecastConfig
    training: TrainingConfig

    def with_ranks(self, ranks: int) -> Self:
        """The same job on another number of ranks: the same batches, not the same bits."""
        return replace(self, training=replace(self.training, ranks=ranks))

    def on_snapshot(self, snapshot: str) -> Self:
        """The same job on another snapshot of its table."""
        return replace(self, table=replace(self.table, snapshot=snapshot))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a commit's meta data."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_json`, also after a trip through JSON text (tuples become lists there)."""
        return cls(
            run=values["run"],
            bucket=values["bucket"],
            repository=values["repository"],
            table=TableRef.from_json(values["table"]),
            window=WindowSpec(**values["window"]),
            split=SplitSpec(**values["split"]),
            order=OrderSpec(**values["order"]),
            forecast=ForecastConfig.from_json(values["forecast"]),
            training=TrainingConfig(**values["training"]),
        )
