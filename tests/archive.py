"""A second S3 server that belongs to somebody else: a user of it may read and list, and nothing more."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage import daemon, local
from storage.local import LocalServer
from storage.objects import Access, Bucket

READER = ("reader-of-the-archive", "secret-of-the-reader")


@dataclasses.dataclass
class Archive:
    """A bucket that its owner filled."""

    owner: Access
    reader: Access
    bucket: Bucket
    """With the owner's rights."""
    metadata: str = ""
    """Metadata file of an Iceberg table in it, where a test wrote one."""

    def listing(self) -> list[tuple[str, int, str]]:
        """Everything in it: any write shows."""
        return [(it.key, it.size, it.etag) for it in self.bucket.list()]


@contextmanager
def archive(folder: Path) -> Iterator[Archive]:
    """Run one until the block ends."""
    users = folder / "users.json"
    launch = local._launch

    def with_reader(root: Path) -> daemon.Launch:
        made = launch(root)
        owner = {"accessKey": made.details["access_key"], "secretKey": made.details["secret_key"]}
        reader = {"accessKey": READER[0], "secretKey": READER[1]}
        users.write_text(
            json.dumps(
                {
                    "identities": [
                        {"name": "owner", "credentials": [owner], "actions": ["Admin"]},
                        {"name": "reader", "credentials": [reader], "actions": ["Read", "List"]},
                    ]
                }
            )
        )
        return dataclasses.replace(made, command=[*made.command, f"-s3.config={users}"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_launch", with_reader)
        server = LocalServer.start(folder / "s3", die_with_parent=True)
    try:
        bucket = Bucket("archive", server.access)
        bucket.create()
        reader = dataclasses.replace(server.access, access_key=READER[0], secret_key=READER[1])
        yield Archive(owner=server.access, reader=reader, bucket=bucket)
    finally:
        server.stop()
