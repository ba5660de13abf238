"""One bucket of an S3-compatible server: whole objects, ranges, lists, and puts that only one writer can win.

Plain calls are sent again while the server does not answer. Conditional puts never are: a retry would meet
its own first try and take it for another's. An answer that is lost there is raised as `OutcomeUnknown`; the
caller reads to find out.

ETags are opaque text, quotes included.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore import exceptions as sdk

from storage import object_probe
from storage import uri as uris
from storage.object_access import Access
from storage.object_calls import Calls
from storage.object_errors import (
    AccessDenied,
    BadSettings,
    BucketMissing,
    Exists,
    LostRace,
    NotFound,
    ObjectError,
    OutcomeUnknown,
    TooLong,
    Truncated,
    TryAgain,
    Unreachable,
    UnsafeServer,
    code_of,
)
from storage.object_settings import settings_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CreateBucketRequestTypeDef,
        ListObjectsV2RequestTypeDef,
        PutObjectRequestTypeDef,
    )

__all__ = [
    "Access",
    "AccessDenied",
    "BadSettings",
    "Bucket",
    "BucketMissing",
    "Exists",
    "LostRace",
    "NotFound",
    "Object",
    "ObjectError",
    "ObjectInfo",
    "OutcomeUnknown",
    "TooLong",
    "Truncated",
    "TryAgain",
    "Unreachable",
    "UnsafeServer",
]

_LOOK_AHEAD = 2  # ranges held or under way, per thread
_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")  # whatever some server may hold; for a new one the server judges


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

    Every method may raise `AccessDenied`, `BucketMissing` and `Unreachable` beside what it names. No key may
    go on below another one, as `a/b` below `a`: MinIO then leaves `a/b` out of its lists.
    """

    def __init__(self, name: str, access: Access) -> None:
        if not _NAME.fullmatch(name):
            raise BucketMissing(
                f"{name!r} cannot be a bucket's name; take lower-case letters, digits, hyphens"
            )
        self.name = name
        self.access = access
        self._calls = Calls(name, access)

    def __repr__(self) -> str:
        return f"Bucket({self.name!r}, {self.access!r})"

    def uri(self, key: str) -> str:
        """The key as a person writes it: `s3://bucket/key`."""
        return uris.build(self.name, key)

    def put(self, key: str, data: bytes | memoryview) -> str:
        """Write or replace an object; its ETag."""
        request = self._upload(key, data)
        return self._calls.plain("write", key, lambda s3: s3.put_object(**request)["ETag"])

    def put_if_absent(self, key: str, data: bytes | memoryview) -> str:
        """Write an object that is not there yet; its ETag.

        Raises:
            Exists: something is there.
            TryAgain: nothing was written; send it again.
            OutcomeUnknown: the answer was lost.
        """
        request = self._upload(key, data)
        request["IfNoneMatch"] = "*"
        return self._calls.conditional(
            "create",
            key,
            lambda s3: s3.put_object(**request)["ETag"],
            lost=Exists,
        )

    def put_if_match(self, key: str, data: bytes | memoryview, etag: str) -> str:
        """Replace the very object that has this ETag; the new ETag.

        Raises:
            LostRace: it is another one by now, or gone.
            TryAgain: nothing was written; send it again.
            OutcomeUnknown: the answer was lost.
        """
        request = self._upload(key, data)
        request["IfMatch"] = etag
        return self._calls.conditional(
            "change",
            key,
            lambda s3: s3.put_object(**request)["ETag"],
            lost=LostRace,
        )

    def get(self, key: str, limit: int | None = None) -> Object:
        """Read a whole object, of at most `limit` bytes.

        Raises:
            NotFound: there is no such object.
            TooLong: it has more bytes; they are not read.
            Truncated: its server cannot send all of it.
        """
        answer, data = self._calls.read(key, lambda s3: s3.get_object(Bucket=self.name, Key=key), limit)
        return Object(data, answer["ETag"])

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read `length` bytes from byte `start` on. A length of 0 asks nothing of the server.

        Raises:
            NotFound: there is no such object.
            Truncated: the object ends before, or its server cannot send all of it.
        """
        if start < 0 or length < 0:
            raise ValueError(f"start and length must be >= 0 bytes, got {start} and {length}")
        if length == 0:
            return b""
        span = f"bytes={start}-{start + length - 1}"
        _, data = self._calls.read(key, lambda s3: s3.get_object(Bucket=self.name, Key=key, Range=span))
        if len(data) != length:
            raise Truncated(f"{self._calls.uri(key)} holds {len(data)} of the {length} bytes from {start} on")
        return data

    def get_parts(self, key: str, start: int, lengths: Sequence[int]) -> Iterator[bytes]:
        """Read parts of these lengths that follow one another, by one request: each as soon as it is there.

        Raises as `get_range`; parts that came before stay good.
        """
        if start < 0 or any(length < 0 for length in lengths):
            raise ValueError(f"start and lengths must be >= 0 bytes, got {start} and {min(lengths)}")
        end = start + sum(lengths) - 1
        if end < start:
            return iter([b""] * len(lengths))
        return self._calls.read_parts(
            key,
            lambda s3, done: s3.get_object(Bucket=self.name, Key=key, Range=f"bytes={start + done}-{end}"),
            lengths,
        )

    def get_ranges(self, ranges: Iterable[tuple[str, int, int]], threads: int = 8) -> Iterator[bytes]:
        """Read many `(key, start, length)` at once; yields them in the order asked.

        At most `2 * threads` ranges are held or under way, however slow the consumer. An error ends it.
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
            answer = self._calls.plain("look at", key, lambda s3: s3.head_object(Bucket=self.name, Key=key))
        except Unreachable:
            raise
        except ObjectError:
            # An answer to HEAD has no words: this one says if the bucket is missing, or the region is wrong.
            self._calls.plain("look at", key, self._look)
            raise
        return ObjectInfo(key, answer["ContentLength"], answer["ETag"])

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix`, ordered by key (by its UTF-8 bytes).

        Read as a whole before the first is yielded, about 300 bytes each: see `scan`.
        """
        # code points order as their UTF-8 bytes do
        return iter(sorted(self.scan(prefix), key=lambda it: it.key))

    def scan(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The same in the server's own order; holds one answer, of at most 1,000 keys, at a time.

        SeaweedFS lists folder by folder, which is another order wherever a name goes on with a character
        below `/`.
        """
        request: ListObjectsV2RequestTypeDef = {"Bucket": self.name, "Prefix": prefix}
        while True:
            page = self._calls.plain("list", prefix, lambda s3: s3.list_objects_v2(**request))
            for it in page.get("Contents", []):
                yield ObjectInfo(it["Key"], it["Size"], it["ETag"])
            if not page["IsTruncated"]:
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def folders(self, prefix: str) -> Iterator[str]:
        """What comes before the next `/` in keys that start with `prefix`, each once, in the server's order.

        Costs a request for 1,000 of them, however many keys they hold.
        """
        request: ListObjectsV2RequestTypeDef = {"Bucket": self.name, "Prefix": prefix, "Delimiter": "/"}
        while True:
            page = self._calls.plain("list", prefix, lambda s3: s3.list_objects_v2(**request))
            for it in page.get("CommonPrefixes", []):
                yield it["Prefix"].removeprefix(prefix).rstrip("/")
            if not page["IsTruncated"]:
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        """Remove an object, if there. Never conditional: some servers ignore the condition and delete."""
        self._calls.plain("delete", key, lambda s3: s3.delete_object(Bucket=self.name, Key=key))

    def create(self) -> None:
        """Make the bucket unless it exists."""
        wanted: CreateBucketRequestTypeDef = {"Bucket": self.name}

        def make(s3: S3Client) -> None:
            found = settings_of(self.access)
            if found.endpoint_url is None and found.region != "us-east-1":
                wanted["CreateBucketConfiguration"] = {"LocationConstraint": found.region}  # type: ignore[typeddict-item]  # any region, not only those the stubs know
            try:
                s3.create_bucket(**wanted)
            except sdk.ClientError as error:
                if code_of(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise
                self._look(s3)  # somebody else's bucket answers 403

        self._calls.plain("create", "", make)

    def exists(self) -> bool:
        """Whether the bucket is there. Where nobody answers, asks a single time: a wrong address is told at
        once. A server that is overloaded is asked again."""
        try:
            try:
                self._calls.at_once("find", "", self._look)
            except Unreachable as error:
                if not isinstance(error.__cause__, sdk.ClientError):
                    raise
                self._calls.plain("find", "", self._look)
        except BucketMissing:
            return False
        return True

    def probe(self, prefix: str) -> None:
        """Try, with small objects under `prefix`, whether the server keeps what writing relies on.

        Raises:
            UnsafeServer: it ignores a condition, or its reads or lists lag.
        """
        object_probe.probe(self, prefix)

    def cautions(self) -> Sequence[str]:
        """Settings of the bucket that a person should know about, in plain words."""
        return object_probe.cautions(self._calls)

    def _upload(self, key: str, data: bytes | memoryview) -> PutObjectRequestTypeDef:
        """What every put says. The checksum lets the server refuse bytes that were bent on the way, or never
        came: SeaweedFS stores an empty object where the client dies after its headers. Also, a bucket with
        Object Lock takes none without."""
        body = _body(key, data)
        checksum = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        request: PutObjectRequestTypeDef = {
            "Bucket": self.name,
            "Key": key,
            "Body": body,
            "ChecksumCRC32": checksum,
        }
        if self.access.encryption_at_rest is not None:
            request["ServerSideEncryption"] = self.access.encryption_at_rest  # type: ignore[typeddict-item]  # any that the server knows
        if self.access.kms_key_id is not None:
            request["SSEKMSKeyId"] = self.access.kms_key_id
        return request

    def _look(self, s3: S3Client) -> None:
        s3.list_objects_v2(Bucket=self.name, MaxKeys=1)  # unlike HEAD, its answer says what is wrong


def _body(key: str, data: bytes | memoryview) -> bytes:
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"not every server can hold the key {key!r}: it has an empty or dotted part")
    return data if isinstance(data, bytes) else bytes(data)  # the SDK takes no memoryview
