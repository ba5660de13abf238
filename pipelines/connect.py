"""From a config's storage section to what flows work with: the bucket, the lake, the repository."""

import os
from dataclasses import dataclass
from pathlib import Path

from pipelines.config.storage import StorageConfig
from pipelines.servers import folder_of
from storage.checkpoints import Repository
from storage.errors import UserError
from storage.local import LocalServer
from storage.objects import Access, Bucket, BucketMissing
from storage.tables import CatalogSettings, Lake, lake_for

CATALOG_CREDENTIAL = "CAROUSEL_CATALOG_CREDENTIAL"


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """One bucket and the tables around it."""

    bucket: Bucket
    lake: Lake
    prefix: str
    """Where in the bucket the repository is."""

    def repository(self) -> Repository:
        """The repository of checkpoints, made if this is its first use."""
        return Repository.create(self.bucket, self.prefix)

    def existing_repository(self) -> Repository:
        """The repository of checkpoints; a UserError if there is none."""
        return Repository.open(self.bucket, self.prefix)


def connect(storage: StorageConfig, root: Path) -> Connection:
    """Reach the bucket of `storage`; the embedded server under `root` must run already.

    Raises:
        UserError: the embedded server does not run, the endpoint does not answer, or there is no such bucket.
    """
    if storage.endpoint_url is None:
        server = LocalServer.find(folder_of(LocalServer, root))
        if server is None:
            raise UserError(f"no embedded S3 server runs under {root}; start it: carousel s3 start")
        lake = lake_for(server)
        bucket = Bucket(storage.bucket, lake.access)
        bucket.create()
    else:
        url = None if storage.endpoint_url == "aws" else storage.endpoint_url
        lake = Lake(access=Access(endpoint_url=url, region=storage.region), catalog=_catalog(storage))
        bucket = Bucket(storage.bucket, lake.access)
        if not bucket.exists():  # asked once, without patience: a wrong address is told at once
            raise BucketMissing(
                f"there is no bucket {storage.bucket!r} at {url or 'AWS'}; "
                "create it, or correct storage.bucket"
            )
    return Connection(bucket=bucket, lake=lake, prefix=storage.repository)


def _catalog(storage: StorageConfig) -> CatalogSettings | None:
    if storage.catalog is None:
        return None
    return CatalogSettings(
        uri=storage.catalog.uri,
        warehouse=storage.catalog.warehouse,
        credential=os.environ.get(CATALOG_CREDENTIAL),
    )
