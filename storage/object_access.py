"""How a server of objects is reached: address, keys, patience; and the SDK's client for it."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import botocore.loaders
import botocore.session
from botocore.config import Config

from storage.errors import UserError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How to reach an S3-compatible server."""

    endpoint_url: str | None = None
    """None: AWS, or what the usual AWS settings name."""
    region: str | None = None
    """None: what the usual AWS settings say, else us-east-1."""
    profile: str | None = None
    """Profile of the shared AWS files; None: AWS_PROFILE, or the default one."""
    access_key: str | None = field(default=None, repr=False)
    """None: the usual AWS credential chain."""
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    """Goes with temporary keys."""
    connect_timeout_s: float = 5
    read_timeout_s: float = 60
    """Silence on a connection after which it counts as lost."""
    patience_s: float = 20
    """How long a call goes on asking a server that does not answer or is overloaded (a restart, a blip)."""

    def __post_init__(self) -> None:
        if (self.access_key is None) != (self.secret_key is None):
            raise UserError(
                "an access key needs its secret key and the other way round; give both or neither"
            )
        if self.endpoint_url is None:
            return
        try:
            parts = urlsplit(self.endpoint_url)
            well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            well_formed = False
        if not well_formed:
            raise UserError("the S3 endpoint must look like http://host:port or https://host")
        if parts.username is not None or parts.password is not None:
            raise UserError(
                "the S3 endpoint must not hold credentials; give access_key and secret_key instead"
            )


def client(access: Access, *, retried: bool) -> S3Client:
    """The SDK's client, one per process for equal arguments; safe to share between threads.

    Args:
        access: where and who.
        retried: whether the SDK may send a request again, and slow down when the server asks for it.
    """
    return _client(access, retried)


@functools.lru_cache(maxsize=32)
def _client(access: Access, retried: bool) -> S3Client:
    # A session of its own, as making clients from a shared one is not thread-safe (using a client is); but
    # one loader for all: reading the service's description takes 100 ms and 13 MB.
    session = botocore.session.Session()
    session.register_component("data_loader", _loader())
    made = session.create_client(
        "s3",
        endpoint_url=access.endpoint_url,
        region_name=access.region or "us-east-1",
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        aws_session_token=access.session_token,
        config=Config(
            retries={"mode": "adaptive", "total_max_attempts": 4}
            if retried
            else {"mode": "standard", "total_max_attempts": 1},
            connect_timeout=access.connect_timeout_s,
            read_timeout=access.read_timeout_s,
            max_pool_connections=32,
            s3={"addressing_style": "path" if access.endpoint_url else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            proxies={} if _is_loopback(access) else None,  # a proxy cannot reach our loopback
        ),
    )
    return cast("S3Client", made)


@functools.cache
def _loader() -> botocore.loaders.Loader:
    return botocore.loaders.create_loader()


def _is_loopback(access: Access) -> bool:
    host = urlsplit(access.endpoint_url or "").hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


# A forked child that spoke through its parent's connections would garble both.
os.register_at_fork(after_in_child=_client.cache_clear)
