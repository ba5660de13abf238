"""How a server of objects is reached: address, keys, patience; and the SDK's client for it."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import botocore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from storage import object_settings
from storage.errors import UserError
from storage.object_errors import translate
from storage.object_settings import Keys, check_endpoint, keys_of, settings_of
from storage.pace import pace_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How to reach an S3-compatible server."""

    endpoint_url: str | None = None
    """None: what the usual AWS settings name (AWS_ENDPOINT_URL_S3, a profile), else AWS."""
    region: str | None = None
    """None: what the usual AWS settings say, else us-east-1."""
    profile: str | None = None
    """Profile of the shared AWS files; None: AWS_PROFILE, or the default one."""
    access_key: str | None = field(default=None, repr=False)
    """None: the usual AWS credential chain, through botocore, which also renews what expires."""
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    """Goes with temporary keys; given here, nobody renews them."""
    encryption_at_rest: str | None = None
    """Asked of the server for each object written: `AES256`, or `aws:kms`; None: what the bucket does."""
    kms_key_id: str | None = None
    """Goes with `aws:kms`; None: the server's default key."""
    connect_timeout_s: float = 5
    read_timeout_s: float = 60
    """Silence on a connection after which it counts as lost."""
    patience_s: float = 20
    """How long a call goes on asking a server that does not answer or is overloaded (a restart, a blip)."""
    requests_per_second: float | None = None
    """The most requests that this process sends to the server, repeated ones included; None: no limit."""

    def __post_init__(self) -> None:
        if (self.access_key is None) != (self.secret_key is None):
            raise UserError(
                "an access key needs its secret key and the other way round; give both or neither"
            )
        if self.session_token is not None and self.access_key is None:
            raise UserError("a session token needs the access key and the secret key that it belongs to")
        if self.kms_key_id is not None and self.encryption_at_rest != "aws:kms":
            raise UserError(
                f"a KMS key goes with encryption at rest by aws:kms, not by {self.encryption_at_rest};"
                " set that too, or leave the key out"
            )
        if self.requests_per_second is not None and not self.requests_per_second > 0:
            raise UserError(
                f"requests per second must be above 0, got {self.requests_per_second}; leave it out for "
                "no limit"
            )
        if self.endpoint_url is not None:
            check_endpoint(self.endpoint_url, "the S3 endpoint")


_NAME = f"carousel botocore/{botocore.__version__}"


def client(access: Access, *, retried: bool) -> S3Client:
    """The SDK's client, one per process for equal arguments; safe to share between threads.

    Args:
        access: where and who.
        retried: whether the SDK may send a request again, and slow down when the server asks for it.
    """
    return _client(access, retried)


@functools.lru_cache(maxsize=32)
def _client(access: Access, retried: bool) -> S3Client:
    found = settings_of(access)
    with object_settings.lock:
        made = found.session.create_client(
            "s3",
            endpoint_url=found.endpoint_url,
            region_name=found.region,
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
                user_agent=_NAME,  # botocore would put together one of 20 parts, twice for each request
                s3={
                    "addressing_style": "path" if found.endpoint_url else "auto",
                    "payload_signing_enabled": not _is_safe(found.endpoint_url),
                },
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # a proxy cannot reach our loopback
                proxies={} if _is_loopback(found.endpoint_url) else None,
            ),
        )
    if access.requests_per_second is not None:
        made.meta.events.register("before-send.s3", pace_of(found.place, access.requests_per_second).wait)
    if found.endpoint_url is not None:
        made.meta.events.register_last("before-parameter-build.s3", _stay)
    return cast("S3Client", made)


def _stay(context: dict[str, Any], **_: object) -> None:
    """Follow no redirect to a region of AWS: there is none behind an address of its own.

    Botocore would ask such a server for the region until Python's stack ends, where one redirects every
    request, as from http to https.
    """
    context.get("s3_redirect", {})["redirected"] = True


def keys(access: Access, purpose: str) -> Keys:
    """Keys for a library that makes its own requests; ask again each time, as keys expire.

    Args:
        access: whose.
        purpose: for messages, as "write s3://bucket/key".

    Raises:
        AccessDenied: there are none, or half of a pair, or they cannot be renewed.
        BadSettings: there is no such profile.
    """
    try:
        return keys_of(access)
    except (BotoCoreError, ClientError) as error:
        known = translate(error, purpose, place(access))
        if known is None:
            raise
        raise known from error


def renew() -> None:
    """Let the next call read this machine's settings anew: keys in a shared file may have been replaced."""
    object_settings.forget()
    _client.cache_clear()


def place(access: Access) -> str:
    """The server's address, for messages; also where the settings are wrong."""
    try:
        return settings_of(access).place
    except (BotoCoreError, UserError):
        return access.endpoint_url or "AWS"


def _is_safe(url: str | None) -> bool:
    """Whether nobody can bend a body on its way. Then its SHA-256 is not signed: ours and the server's take
    as long as the transfer itself; bodies have a CRC-32 anyway."""
    return url is None or urlsplit(url).scheme == "https" or _is_loopback(url)


def _is_loopback(url: str | None) -> bool:
    host = urlsplit(url or "").hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


# A forked child that spoke through its parent's connections would garble both.
os.register_at_fork(after_in_child=_client.cache_clear)
