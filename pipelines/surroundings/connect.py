"""From settings to what flows work with: the bucket, the repository, and the lakes of the tables.

There are two lakes: `lake` is written to, `data` is where the source table is read. Nothing is ever
written to `data`, so its keys need no right to.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pipelines.config.storage import AccessConfig, CatalogConfig, StorageConfig
from pipelines.surroundings.servers import folder_of
from storage.checkpoints import OuterKey, Repository
from storage.errors import UserError
from storage.local import LocalServer
from storage.objects import Access, Bucket, BucketMissing
from storage.tables import CatalogSettings, Lake, lake_for

CATALOG_CREDENTIAL = "CAROUSEL_CATALOG_CREDENTIAL"
DATA_CATALOG_CREDENTIAL = "CAROUSEL_DATA_CATALOG_CREDENTIAL"


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """Variables of the environment that may hold keys for one place only."""

    access_key: str
    secret_key: str
    session_token: str

    def are_set(self) -> bool:
        """Whether there are any. Raises UserError: one of the two is missing."""
        key, secret = os.environ.get(self.access_key), os.environ.get(self.secret_key)
        if bool(key) != bool(secret):
            both = (self.access_key, self.secret_key)
            given, missing = both if key else reversed(both)
            raise UserError(f"{given} is set and {missing} is not; set both, or neither")
        return bool(key)

    def over(self, access: Access) -> Access:
        """`access` with these keys where they are set. Raises UserError: one of the two is missing."""
        if not self.are_set():
            return access
        return replace(
            access,
            profile=None,
            access_key=os.environ[self.access_key],
            secret_key=os.environ[self.secret_key],
            session_token=os.environ.get(self.session_token) or None,
        )


DATA_KEYS = OwnKeys(
    "CAROUSEL_DATA_ACCESS_KEY_ID", "CAROUSEL_DATA_SECRET_ACCESS_KEY", "CAROUSEL_DATA_SESSION_TOKEN"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """One bucket and the tables around it."""

    bucket: Bucket
    lake: Lake
    """Where checkpoints, predictions and tables of our own are written."""
    data: Lake
    """Where the source table is read; equal to `lake` unless the settings name another place."""
    prefix: str
    """Where in the bucket the repository is."""
    reports: str = "reports"
    """Where in the bucket reports, and the events they are made of, are kept."""

    def reading(self, data: AccessConfig | None) -> Self:
        """The same bucket, with the source table at `data`; None: where the bucket is."""
        return replace(self, data=self.lake if data is None else data_lake(data))

    def repository(self) -> Repository:
        """The repository of checkpoints, made if this is its first use."""
        return Repository.create(self.bucket, self.prefix, key=OuterKey.from_environment())

    def existing_repository(self) -> Repository:
        """The repository of checkpoints; a UserError if there is none."""
        return Repository.open(self.bucket, self.prefix, key=OuterKey.from_environment())


def connect(
    storage: StorageConfig, root: Path, data: AccessConfig | None = None, *, keys: OwnKeys | None = None
) -> Connection:
    """Reach the bucket of `storage`; the embedded server under `root` must run already.

    Args:
        storage: where the bucket is.
        root: folder of the embedded server.
        data: where the source table is read; None: where the bucket is.
        keys: of the bucket's own, which stand in for the profile where they are set.

    Raises:
        UserError: the embedded server does not run, the endpoint does not answer, or there is no such bucket.
    """
    if storage.endpoint_url is None:
        if keys is not None and keys.are_set():
            raise UserError(
                f"{keys.access_key} is set, but the embedded server has its own keys; name the server that"
                " they open, or unset it"
            )
        server = LocalServer.find(folder_of(LocalServer, root))
        if server is None:
            raise UserError(f"no embedded S3 server runs under {root}; start it: carousel s3 start")
        lake = lake_for(server)
        if storage.requests_per_second is not None:
            lake = replace(lake, access=replace(lake.access, requests_per_second=storage.requests_per_second))
        bucket = Bucket(storage.bucket, lake.access)
        bucket.create()
    else:
        url = None if storage.endpoint_url == "aws" else storage.endpoint_url
        access = Access(
            endpoint_url=url,
            region=storage.region,
            profile=storage.profile,
            encryption_at_rest=storage.encryption_at_rest,
            kms_key_id=storage.kms_key_id,
            requests_per_second=storage.requests_per_second,
        )
        lake = Lake(
            access=access if keys is None else keys.over(access),
            catalog=_catalog(storage.catalog, CATALOG_CREDENTIAL),
        )
        bucket = Bucket(storage.bucket, lake.access)
        if not bucket.exists():  # asked once, without patience: a wrong address is told at once
            raise BucketMissing(
                f"there is no bucket {storage.bucket!r} at {url or 'AWS'}; "
                "create it, or correct storage.bucket"
            )
    found = Connection(
        bucket=bucket, lake=lake, data=lake, prefix=storage.repository, reports=storage.reports
    )
    return found.reading(data)


def data_lake(data: AccessConfig) -> Lake:
    """Where a source table is read. Keys of its own in the environment stand in for the profile.

    Raises:
        UserError: one of the two keys is missing.
    """
    access = Access(
        endpoint_url=None if data.endpoint_url == "aws" else data.endpoint_url,
        region=data.region,
        profile=data.profile,
        requests_per_second=data.requests_per_second,
    )
    return Lake(access=DATA_KEYS.over(access), catalog=_catalog(data.catalog, DATA_CATALOG_CREDENTIAL))


def _catalog(catalog: CatalogConfig | None, credential: str) -> CatalogSettings | None:
    if catalog is None:
        return None
    return CatalogSettings(
        uri=catalog.uri, warehouse=catalog.warehouse, credential=os.environ.get(credential)
    )
