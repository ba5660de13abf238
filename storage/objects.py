"""One bucket of an S3-compatible server: whole objects, ranges, lists, and puts that only one writer can win.

Plain calls are retried by the SDK. Conditional puts never are: a retry would meet its own first try and take
it for another's. An answer that is lost there is raised as `OutcomeUnknown`; the caller reads to find out.

ETags are opaque text, quotes included. Why so: ARCHITECTURE.md#objects
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore import exceptions as sdk
from botocore.config import Config

from storage import object_probe
from storage.errors import UserError
from storage.object_errors import (
    NEVER_SENT,
    AccessDenied,
    BucketMissing,
    Exists,
    LostRace,
    NotFound,
    ObjectError,
    OutcomeUnknown,
    Truncated,
    TryAgain,
    Unreachable,
    UnsafeServer,
    code_of,
    status_of,
    translate,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

__all__ = [
    "Access",
    "AccessDenied",
    "Bucket",
    "BucketMissing",
    "Exists",
    "LostRace",
    "NotFound",
    "Object",
    "ObjectError",
    "ObjectInfo",
    "OutcomeUnknown",
    "Truncated",
    "TryAgain",
    "Unreachable",
    "UnsafeServer",
]

T = TypeVar("T")
_BODY_TRIES = 3
_LOOK_AHEAD = 2  # ranges held or under way per thread


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How to reach an S3-compatible server."""

    endpoint_url: str | None = None
    """None: AWS, or what the usual AWS settings name."""
    region: str = "us-east-1"
    access_key: str | None = field(default=None, repr=False)
    """None: the usual AWS credential chain."""
    secret_key: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 5
    read_timeout_s: float = 60
    """Silence on a connection after which it counts as lost."""
    attempts: int = 5
    """Tries of a plain call in all; the waits between them grow to 8 s."""

    def __post_init__(self) -> None:
        if (self.access_key is None) != (self.secret_key is None):
            raise UserError(
                "an access key needs its secret key, and the other way round; give both or neither"
            )
        if self.endpoint_url is not None:
            parts = urlsplit(self.endpoint_url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise UserError("the S3 endpoint must look like http://host:port or https://host")
            if parts.username or parts.password:
                raise UserError("the S3 endpoint must not hold credentials; give access_key and secret_key")


@dataclass(frozen=True, slots=True)
class Object:
    """A whole object."""

    data: bytes = field(repr=False)
    etag: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known about an object without reading it."""

    key: str
    size: int
    """Bytes."""
    etag: str


class Bucket:
    """One bucket. Safe to share between threads.

    Every method may raise `AccessDenied`, `BucketMissing` and `Unreachable` beside what it names.
    """

    def __init__(self, name: str, access: Access) -> None:
        self.name = name
        self.access = access

    def __repr__(self) -> str:
        return f"Bucket({self.name!r}, {self.access!r})"

    def put(self, key: str, data: bytes | memoryview) -> str:
        """Write or replace an object; its ETag."""
        with self._translated("write", key):
            return self._client.put_object(Bucket=self.name, Key=key, Body=_body(data))["ETag"]

    def put_if_absent(self, key: str, data: bytes | memoryview) -> str:
        """Write an object that is not there yet; its ETag.

        Raises:
            Exists: something is there.
            TryAgain: nothing was written; send it again.
            OutcomeUnknown: the answer was lost.
        """
        with self._conditional("create", key, lost=Exists):
            return self._once.put_object(Bucket=self.name, Key=key, Body=_body(data), IfNoneMatch="*")["ETag"]

    def put_if_match(self, key: str, data: bytes | memoryview, etag: str) -> str:
        """Replace the very object that has this ETag; the new ETag.

        Raises:
            LostRace: it is another one by now, or gone.
            TryAgain: nothing was written; send it again.
            OutcomeUnknown: the answer was lost.
        """
        with self._conditional("change", key, lost=LostRace):
            return self._once.put_object(Bucket=self.name, Key=key, Body=_body(data), IfMatch=etag)["ETag"]

    def get(self, key: str) -> Object:
        """Read a whole object. Raises NotFound, Truncated."""
        with self._translated("read", key):
            answer, data = _with_body(lambda: self._client.get_object(Bucket=self.name, Key=key))
        if len(data) != answer["ContentLength"]:
            raise Truncated(f"{self._uri(key)}: {len(data)} of {answer['ContentLength']} bytes came")
        return Object(data, answer["ETag"])

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read `length` bytes from byte `start` on. A length of 0 asks nothing of the server.

        Raises:
            NotFound: there is no such object.
            Truncated: the object ends before, or its server cannot send all of it.
        """
        if start < 0 or length < 0:
            raise ValueError(f"start and length must be >= 0 bytes, got {start}, {length}")
        if length == 0:
            return b""
        span = f"bytes={start}-{start + length - 1}"
        with self._translated("read", key, f" {span}"):
            _, data = _with_body(lambda: self._client.get_object(Bucket=self.name, Key=key, Range=span))
        if len(data) != length:
            raise Truncated(f"{self._uri(key)}: {len(data)} of {length} bytes from {start} on came")
        return data

    def get_ranges(self, ranges: Iterable[tuple[str, int, int]], threads: int = 8) -> Iterator[bytes]:
        """Read many `(key, start, length)` at once; yields them in the order asked.

        At most `2 * threads` ranges are held or under way, so memory stays bounded whoever consumes slowly.
        """
        pending: deque[Future[bytes]] = deque()
        pool = ThreadPoolExecutor(threads, thread_name_prefix="get-ranges")
        try:
            for wanted in ranges:
                pending.append(pool.submit(self.get_range, *wanted))
                if len(pending) >= _LOOK_AHEAD * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def head(self, key: str) -> ObjectInfo:
        """Size and ETag of an object. Raises NotFound."""
        try:
            with self._translated("look at", key):
                answer = self._client.head_object(Bucket=self.name, Key=key)
        except NotFound:
            if not self.exists():  # HEAD has no body, so it cannot say what is missing
                raise BucketMissing(
                    f"no bucket {self.name!r} at {self._endpoint}; create it or check its name"
                ) from None
            raise
        return ObjectInfo(key, answer["ContentLength"], answer["ETag"])

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix`, ordered by key (by its UTF-8 bytes)."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        with self._translated("list", prefix):
            for page in pages:
                for entry in page.get("Contents", []):
                    yield ObjectInfo(entry["Key"], entry["Size"], entry["ETag"])

    def delete(self, key: str) -> None:
        """Remove an object, if there. Never conditional: some servers ignore the condition and delete."""
        with self._translated("delete", key):
            self._client.delete_object(Bucket=self.name, Key=key)

    def create(self) -> None:
        """Make the bucket unless it exists."""
        region = self._client.meta.region_name
        with self._translated("create bucket"):
            try:
                if region == "us-east-1" or self.access.endpoint_url is not None:
                    self._client.create_bucket(Bucket=self.name)
                else:
                    self._client.create_bucket(
                        Bucket=self.name,
                        CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]  # any region
                    )
            except sdk.ClientError as error:
                if code_of(error) not in (
                    "BucketAlreadyOwnedByYou",
                    "BucketAlreadyExists",
                    "OperationAborted",
                ):
                    raise
                self._once.head_bucket(Bucket=self.name)  # somebody else's answers 403

    def exists(self) -> bool:
        """Whether the bucket is there and may be used; asks once, so that a wrong address is told at once."""
        try:
            with self._translated("find bucket"):
                self._once.head_bucket(Bucket=self.name)
        except NotFound:
            return False
        return True

    def probe(self, prefix: str) -> None:
        """Try, with small objects under `prefix`, whether the server keeps what writing relies on.

        Raises:
            UnsafeServer: it ignores a condition, or its listing lags.
        """
        object_probe.probe(self, prefix)

    def cautions(self) -> Sequence[str]:
        """Settings of the bucket that a person should know about, in plain words."""
        return object_probe.cautions(self._client, self.name)

    @property
    def _client(self) -> S3Client:
        return _client(self.access, retried=True)

    @property
    def _once(self) -> S3Client:
        return _client(self.access, retried=False)

    @property
    def _endpoint(self) -> str:
        return self._client.meta.endpoint_url

    def _uri(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    @contextlib.contextmanager
    def _translated(self, verb: str, key: str = "", detail: str = "") -> Iterator[None]:
        try:
            yield
        except (sdk.BotoCoreError, sdk.ClientError) as error:
            known = translate(error, f"{verb} {self._uri(key)}{detail}", self._endpoint)
            if known is None:
                raise
            raise known from error

    @contextlib.contextmanager
    def _conditional(self, verb: str, key: str, lost: type[Exists] | type[LostRace]) -> Iterator[None]:
        where = f"{verb} {self._uri(key)}"
        with self._translated(verb, key):
            try:
                yield
            except sdk.ClientError as error:
                status, code = status_of(error), code_of(error)
                if status == 412 or (lost is LostRace and status == 404 and code != "NoSuchBucket"):
                    raise lost(
                        f"could not {where}: {'it exists' if lost is Exists else 'it has changed'}"
                    ) from error
                if status >= 500 or code == "RequestTimeout":
                    raise OutcomeUnknown(f"{where}: {self._endpoint} answers {status} {code}") from error
                raise
            except NEVER_SENT:
                raise
            except (sdk.HTTPClientError, sdk.ConnectionError) as error:
                raise OutcomeUnknown(f"{where}: the answer was lost ({type(error).__name__})") from error


def _body(data: bytes | memoryview) -> bytes:
    return data if isinstance(data, bytes) else bytes(data)  # the SDK takes no memoryview


def _with_body(ask: Callable[[], GetObjectOutputTypeDef]) -> tuple[GetObjectOutputTypeDef, bytes]:
    """Read the answer's body too, anew if the connection breaks: the SDK retries only up to the headers."""
    for left in reversed(range(_BODY_TRIES)):
        answer = ask()
        try:
            return answer, answer["Body"].read()
        except (sdk.IncompleteReadError, sdk.ResponseStreamingError, sdk.ReadTimeoutError) as error:
            if not left:
                raise Truncated(f"the body broke off in each of {_BODY_TRIES} tries ({error})") from error
    raise AssertionError("unreachable")


_LOCK = threading.Lock()


def _client(access: Access, *, retried: bool) -> S3Client:
    with _LOCK:  # making a client is not thread-safe; using one is
        return _make_client(access, retried)


@functools.lru_cache(maxsize=32)
def _make_client(access: Access, retried: bool) -> S3Client:
    local = access.endpoint_url is not None and urlsplit(access.endpoint_url).hostname in (
        "127.0.0.1",
        "localhost",
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=access.endpoint_url,
        region_name=access.region,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        config=Config(
            retries={"mode": "adaptive", "total_max_attempts": access.attempts}
            if retried
            else {"mode": "standard", "total_max_attempts": 1},
            connect_timeout=access.connect_timeout_s,
            read_timeout=access.read_timeout_s,
            max_pool_connections=32,
            s3={"addressing_style": "path" if access.endpoint_url else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            proxies={} if local else None,  # a proxy of the environment cannot reach our loopback
        ),
    )
