"""Does a server keep what writing relies on? Tried with small objects of fresh names, never assumed."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from botocore import exceptions as sdk

from storage.object_errors import (
    AccessDenied,
    Exists,
    LostRace,
    ObjectError,
    OutcomeUnknown,
    TryAgain,
    UnsafeServer,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import LifecycleRuleOutputTypeDef

    from storage.objects import Bucket

_TRIES = 4


def probe(bucket: Bucket, prefix: str) -> None:
    """Raise UnsafeServer unless conditional puts and listing work under `prefix`."""
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    with _scratch(bucket) as scratch:
        for _ in range(_TRIES):  # a lost answer proves nothing; start over with another name
            key = f"{folder}probe-{secrets.token_hex(12)}"
            scratch.append(key)
            try:
                return _probe_once(bucket, key)
            except (OutcomeUnknown, TryAgain) as error:
                trouble = error
    raise UnsafeServer(f"the server could not be tried in {_TRIES} tries: {trouble}")


def _probe_once(bucket: Bucket, key: str) -> None:
    first = bucket.put_if_absent(key, b"1")
    _must_fail(bucket, Exists, "If-None-Match", lambda: bucket.put_if_absent(key, b"22"))
    second = bucket.put_if_match(key, b"333", first)
    _must_fail(bucket, LostRace, "If-Match", lambda: bucket.put_if_match(key, b"4444", first))
    found = bucket.get(key)
    if (found.data, found.etag) != (b"333", second):
        raise _unsafe(bucket, "a read just after a write does not show it")
    if [(it.key, it.etag) for it in bucket.list(key)] != [(key, second)]:
        raise _unsafe(bucket, "a list just after a write does not show it")


def _must_fail(bucket: Bucket, how: type[ObjectError], header: str, put: Callable[[], str]) -> None:
    with contextlib.suppress(how):
        put()
        raise _unsafe(bucket, f"it ignores {header}, so two writers could overwrite each other")


def _unsafe(bucket: Bucket, what: str) -> UnsafeServer:
    place = bucket.access.endpoint_url or "AWS"
    return UnsafeServer(
        f"bucket {bucket.name!r} at {place} is refused for writing: {what}; use another server"
    )


@contextlib.contextmanager
def _scratch(bucket: Bucket) -> Iterator[list[str]]:
    """Keys to delete at the end, where the writer may delete at all."""
    keys: list[str] = []
    try:
        yield keys
    finally:
        for key in keys:
            with contextlib.suppress(AccessDenied):
                bucket.delete(key)


def cautions(client: S3Client, name: str) -> list[str]:
    """Warnings about settings that cost money or destroy data, as far as they may be read."""
    found = []
    with contextlib.suppress(sdk.ClientError):
        if client.get_bucket_versioning(Bucket=name).get("Status") == "Enabled":
            found.append(
                f"bucket {name!r} keeps old versions: deleting frees nothing until a rule removes them"
            )
    with contextlib.suppress(sdk.ClientError):
        rules = client.get_bucket_lifecycle_configuration(Bucket=name).get("Rules", [])
        found += [
            f"lifecycle rule {rule.get('ID', '')!r} of bucket {name!r} deletes or moves objects by age;"
            " keep it away from tables and checkpoints, which are needed at any age"
            for rule in rules
            if _is_harmful(rule)
        ]
    return found


def _is_harmful(rule: LifecycleRuleOutputTypeDef) -> bool:
    return rule["Status"] == "Enabled" and bool(rule.get("Expiration") or rule.get("Transitions"))
