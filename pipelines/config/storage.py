"""The sections that say where buckets are. Apart from the others, so that they are read without torch.

There may be two places: `storage`, where checkpoints and forecasts are written, and `table.access`, where a
table is read that lies elsewhere, or with other keys that may only read.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from pipelines.config.checks import SECRET_WORDS, checked
from pipelines.config.text import overridden


class Section(BaseModel):
    """Part of a run's settings: keys that it does not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


T = TypeVar("T")
_ENDPOINT = r"^(aws|https?://\S+)$"


def _without_password(url: str) -> str:
    """Settings are shown and stored in many places: no password may stand in one, nor in this message."""
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query.replace(";", "&"), keep_blank_values=True)
    except ValueError:
        raise ValueError("is no address") from None  # what Python says of it repeats it
    asked = {key.lower() for key, _ in query} - {"sslkey"}  # PostgreSQL's: the name of a file
    if parts.password is not None or any(word in key for key in asked for word in SECRET_WORDS):
        raise ValueError(
            "holds a password; take it out. Keys to a bucket come from AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, a REST catalog's from CAROUSEL_CATALOG_CREDENTIAL, a database's from "
            "what its driver reads (PGPASSWORD)"
        )
    return url


def _endpoint(value: Any) -> Any:
    """Checked before pydantic does, which repeats what it refuses: `ftp://user:password@host`."""
    if not isinstance(value, str):
        return value
    _without_password(value)
    if not re.match(_ENDPOINT, value):
        shown = "this" if "@" in value else json.dumps(value)
        raise ValueError(f"{shown} is no endpoint; write http://host:port, https://host, or aws")
    if "@" in value:
        raise ValueError("names a user; take that out, keys are given apart from the address")
    return value


Endpoint = Annotated[str, BeforeValidator(_endpoint), Field(json_schema_extra={"pattern": _ENDPOINT})]


def _prefix(value: str) -> str:
    """Not every server can hold keys with such parts, and none means what a path would."""
    if any(part in ("", ".", "..") for part in value.strip("/").split("/")):
        raise ValueError(f'"{value}" has an empty or dotted part; write it as checkpoints/mine')
    return value


Prefix = Annotated[str, AfterValidator(_prefix)]


class CatalogConfig(Section):
    """An Iceberg catalog; its credential comes from `CAROUSEL_CATALOG_CREDENTIAL` (`id:secret`)."""

    uri: Annotated[str, AfterValidator(_without_password)]
    """`https://...` is a REST catalog; anything else a database URL for pyiceberg's SQL catalog."""
    warehouse: str | None = None
    """The warehouse that the catalog is asked for."""


class AccessConfig(Section):
    """How the table is reached where it lies elsewhere than the checkpoints, or may only be read.

    Keys never stand here: CAROUSEL_DATA_ACCESS_KEY_ID and CAROUSEL_DATA_SECRET_ACCESS_KEY (with
    CAROUSEL_DATA_SESSION_TOKEN where there is one), `profile`, or the AWS chain.
    """

    endpoint_url: Endpoint | None = None
    """An S3-compatible server (`https://...`); null or `aws`: AWS, or what the AWS settings name."""
    region: str | None = None
    """The bucket's region; null: what AWS_REGION or the profile says, else us-east-1."""
    profile: str | None = None
    """Profile of the shared AWS files (`~/.aws`): keys, perhaps endpoint and region; null: the AWS chain."""
    requests_per_second: Annotated[float, Field(gt=0)] | None = None
    """The most requests that one process (each rank is one) sends to the server; null: no limit."""
    catalog: CatalogConfig | None = None
    """Iceberg only: the catalog that knows the table; null: it is opened by where it lies."""


class StorageConfig(AccessConfig):
    """The bucket. Keys never stand here: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the AWS chain."""

    endpoint_url: Endpoint | None = None
    """An S3-compatible server (`https://...`), or `aws`: AWS, or what the AWS settings name; null: the
    embedded server under `--root`."""
    catalog: CatalogConfig | None = None
    """Iceberg only: where tables are registered; null: the embedded server's own catalog."""
    encryption_at_rest: Literal["AES256", "aws:kms"] | None = None
    """Asked of the server for each object that is written; null: what the bucket does by itself."""
    kms_key_id: str | None = None
    """Goes with `aws:kms`: the key's id; null: the server's default key."""
    bucket: Annotated[str, Field(min_length=3, max_length=63)] = "lake"
    """Bucket of the checkpoints, and of tables without one of their own."""
    repository: Prefix = "checkpoints"
    """Prefix in the bucket under which the checkpoints of all runs are kept."""
    reports: Prefix = "reports"
    """Prefix in the bucket under which the reports of all runs are kept."""

    @field_validator("catalog", "profile", "encryption_at_rest")
    @classmethod
    def _is_read(cls, value: T, info: ValidationInfo) -> T:
        if value is not None and info.data.get("endpoint_url", ...) is None:
            raise ValueError("the embedded server has its own; set storage.endpoint_url, or leave it out")
        return value

    @field_validator("kms_key_id")
    @classmethod
    def _goes_with_kms(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("encryption_at_rest") != "aws:kms":
            raise ValueError("goes with storage.encryption_at_rest: aws:kms; set that, or leave it out")
        return value


def default_storage(
    assignments: Iterable[str] = (), environment: Mapping[str, str] | None = None
) -> StorageConfig:
    """The bucket where no file says anything: the embedded server, unless overridden.

    Raises:
        ConfigError: an override is wrong.
    """
    variables = os.environ if environment is None else environment
    merged, origins = overridden({}, {}, variables, assignments)
    return checked(StorageConfig, merged.get("storage", {}), origins, ("storage",))
