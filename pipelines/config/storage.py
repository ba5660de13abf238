"""The section that says where the bucket is. Apart from the others, so that it is read without torch."""

import os
from collections.abc import Iterable, Mapping
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from pipelines.config.checks import SECRET_WORDS, checked
from pipelines.config.text import overridden


class Section(BaseModel):
    """Part of a run's settings: keys that it does not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _without_password(url: str) -> str:
    """Settings are shown and stored in many places: no password may stand in one, nor in this message."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query.replace(";", "&"), keep_blank_values=True)
    asked = {key.lower() for key, _ in query} - {"sslkey"}  # PostgreSQL's: the name of a file
    if parts.password is not None or any(word in key for key in asked for word in SECRET_WORDS):
        raise ValueError(
            "holds a password; take it out. Keys to a bucket come from AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, a REST catalog's from CAROUSEL_CATALOG_CREDENTIAL, a database's from "
            "what its driver reads (PGPASSWORD)"
        )
    return url


class CatalogConfig(Section):
    """An Iceberg catalog; its credential comes from `CAROUSEL_CATALOG_CREDENTIAL` (`id:secret`)."""

    uri: Annotated[str, AfterValidator(_without_password)]
    """`https://...` is a REST catalog; anything else a database URL for pyiceberg's SQL catalog."""
    warehouse: str | None = None
    """The warehouse that the catalog is asked for."""


class StorageConfig(Section):
    """The bucket. Keys never stand here: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the AWS chain."""

    endpoint_url: (
        Annotated[str, Field(pattern=r"^(aws|https?://\S+)$"), AfterValidator(_without_password)] | None
    ) = None
    """An S3-compatible server (`https://...`), or `aws`; null: the embedded server under `--root`."""
    region: str = "us-east-1"
    """The bucket's region."""
    bucket: Annotated[str, Field(min_length=3, max_length=63)] = "lake"
    """Bucket of the checkpoints, and of tables without one of their own."""
    repository: Annotated[str, Field(min_length=1)] = "checkpoints"
    """Prefix in the bucket under which the checkpoints of all runs are kept."""
    catalog: CatalogConfig | None = None
    """Iceberg only: where tables are registered; null: the embedded server's own catalog."""

    @field_validator("catalog")
    @classmethod
    def _catalog_is_read(cls, catalog: CatalogConfig | None, info: ValidationInfo) -> CatalogConfig | None:
        if catalog is not None and info.data.get("endpoint_url", ...) is None:
            raise ValueError("the embedded server has its own; set storage.endpoint_url, or leave it out")
        return catalog


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
