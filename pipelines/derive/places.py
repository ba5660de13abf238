"""Where the table is read, and where checkpoints and forecasts are written: from a few options.

The server that holds the table keeps the rest too, under `carousel/` in the table's bucket, unless another
repository is named. No keys pass here: they come from the environment and from profiles.
"""

import os
from dataclasses import dataclass

from pipelines.config.checks import checked
from pipelines.config.model import PredictionsConfig
from pipelines.config.storage import AccessConfig, StorageConfig
from pipelines.config.text import Origins
from pipelines.derive.reasons import Reasons
from pipelines.derive.request import CannotDerive
from pipelines.surroundings.connect import DATA_KEYS
from storage import uri as uris
from storage.tables import Table

LOCAL = "local"
"""Names the embedded server's repository."""
_PREFIX = "carousel"
_AWS = "aws"


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Options of the command line; None: not given."""

    table: str
    endpoint_url: str | None = None
    profile: str | None = None
    catalog: str | None = None
    warehouse: str | None = None
    repository: str | None = None
    repository_endpoint_url: str | None = None
    repository_profile: str | None = None

    @property
    def embedded(self) -> bool:
        """Whether the table is in the embedded server's buckets."""
        return not (self.endpoint_url or self.profile or self.catalog)


def storage_and_access(places: Places, reasons: Reasons) -> tuple[StorageConfig, AccessConfig | None]:
    """The sections `storage` and `table.access`.

    Raises:
        CannotDerive: the options contradict each other, or a bucket is missing.
    """
    if places.embedded:
        return _embedded(places, reasons), None
    access = checked(
        AccessConfig,
        {
            "endpoint_url": places.endpoint_url or _AWS,
            "profile": places.profile,
            "catalog": places.catalog and {"uri": places.catalog, "warehouse": places.warehouse},
        },
        {
            ("table", "access", "endpoint_url"): "--endpoint-url",
            ("table", "access", "catalog"): "--catalog",
        },
        ("table", "access"),
    )
    if places.repository == LOCAL:
        reasons.add("storage.endpoint_url", "as told (--repository local): the embedded server")
        reasons.add("table.access", "as told: the table is read elsewhere, and never written to")
        return StorageConfig(), access
    own_keys = bool(os.environ.get(DATA_KEYS.access_key))
    elsewhere = places.repository_endpoint_url or places.repository_profile
    bucket, prefix = _repository(places)
    storage = _checked(
        {
            "endpoint_url": places.repository_endpoint_url or access.endpoint_url,
            "profile": places.repository_profile if elsewhere else places.profile,
            "catalog": None if elsewhere or access.catalog is None else access.catalog.model_dump(),
            "bucket": bucket,
            "repository": f"{prefix}/checkpoints" if prefix == _PREFIX else prefix,
            "reports": f"{prefix}/reports",
        }
    )
    why = "as told (--repository)" if places.repository else "beside the table: no --repository was named"
    reasons.add("storage.bucket", why)
    if not elsewhere and not own_keys:
        return storage, None
    reasons.add("table.access", "the table has keys or a server of its own, and is never written to")
    return storage, access


def predictions_of(storage: StorageConfig, table: Table, run: str, reasons: Reasons) -> PredictionsConfig:
    """The table of forecasts, of the table's own format where that needs no other catalog."""
    catalogued = storage.endpoint_url is None or storage.catalog is not None
    kind = "iceberg" if table.format == "iceberg" and catalogued else "delta"
    reasons.add("predictions.uri", "beside the checkpoints")
    prefix = storage.repository.removesuffix("/checkpoints")
    prefix = _PREFIX if prefix == storage.repository == StorageConfig().repository else prefix
    uri = uris.build(storage.bucket, f"{prefix}/predictions/{run}")
    return PredictionsConfig(uri=uri, format="iceberg" if kind == "iceberg" else "delta")


def repository_prefix(told: str) -> tuple[str, str]:
    """Bucket and prefix of what `--repository` names.

    Raises:
        UserError: it is no `s3://bucket/prefix`.
    """
    bucket, key = uris.parse(told)
    return bucket, key or _PREFIX


def _embedded(places: Places, reasons: Reasons) -> StorageConfig:
    if places.repository_endpoint_url or places.repository_profile:
        raise CannotDerive(
            "--repository-endpoint-url and --repository-profile need --endpoint-url or --profile: a table "
            "of the embedded server keeps its checkpoints there"
        )
    reasons.add("storage.endpoint_url", "no --endpoint-url or --profile: the embedded server")
    if places.repository in (None, LOCAL):
        return StorageConfig()
    bucket, prefix = _repository(places)
    return _checked({"bucket": bucket, "repository": prefix, "reports": f"{prefix}/reports"})


def _repository(places: Places) -> tuple[str, str]:
    """Bucket and prefix."""
    if places.repository is not None:
        return repository_prefix(places.repository)
    if "://" not in places.table:
        raise CannotDerive(
            f"the table {places.table} names no bucket to keep checkpoints in; say where: --repository "
            "s3://bucket/prefix, or --repository local"
        )
    return uris.parse(places.table)[0], _PREFIX


def _checked(values: dict[str, object]) -> StorageConfig:
    origins: Origins = {
        ("storage", "endpoint_url"): "--repository-endpoint-url",
        ("storage", "bucket"): "--repository",
    }
    return checked(StorageConfig, values, origins, ("storage",))
