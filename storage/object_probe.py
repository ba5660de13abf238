"""Does a server keep what writing relies on? Tried with small objects of fresh names, never assumed.

Nothing ever names such an object, so whoever may delete can remove it, at any moment once it holds its last
content: a probe that finds it gone then starts over with another name.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from storage.object_access import place
from storage.object_calls import Calls
from storage.object_errors import (
    Exists,
    LostRace,
    NotFound,
    ObjectError,
    OutcomeUnknown,
    TryAgain,
    Unreachable,
    UnsafeServer,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import LifecycleRuleOutputTypeDef

    from storage.objects import Bucket

_TRIES = 5
_NAME = re.compile(r"probe-[0-9a-f]{24}", re.ASCII)
_LAST = b"333"


class _Gone(UnsafeServer):
    """What was written is not there: by the server's fault, or because somebody has cleaned up."""


def is_litter(name: str, size: int) -> bool:
    """Whether an object is a probe's, left by somebody without the right to delete or about to be deleted."""
    return _NAME.fullmatch(name) is not None and size == len(_LAST)


def probe(bucket: Bucket, prefix: str) -> None:
    """Raise UnsafeServer unless conditional puts, reads and lists under `prefix` do what writers need."""
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    with _scratch(bucket) as keys:
        for _ in range(_TRIES):
            keys.append(f"{folder}probe-{secrets.token_hex(12)}")
            try:
                return _probe_once(bucket, keys[-1])
            except (OutcomeUnknown, TryAgain, _Gone) as error:
                trouble = error  # proves nothing; start over with another name
    if isinstance(trouble, _Gone):  # nobody cleans up behind each of them
        raise trouble
    raise Unreachable(f"could not try out {_place(bucket)}, no clear answer in {_TRIES} tries: {trouble}")


def _probe_once(bucket: Bucket, key: str) -> None:
    first = bucket.put_if_absent(key, b"1")
    _must_fail(bucket, Exists, "If-None-Match", lambda: bucket.put_if_absent(key, b"22"))
    try:
        second = bucket.put_if_match(key, _LAST, first)
    except LostRace as error:
        raise _unsafe(bucket, "If-Match fails on an object that nobody changed") from error
    _must_fail(bucket, LostRace, "If-Match", lambda: bucket.put_if_match(key, b"4444", first))
    try:
        found = bucket.get(key)
    except NotFound as error:
        raise _Gone(str(_unsafe(bucket, "a read just after a write finds nothing"))) from error
    if (found.data, found.etag) != (_LAST, second):
        raise _unsafe(bucket, "a read just after a write shows something older")
    if [(it.key, it.size) for it in bucket.list(key)] != [(key, 3)]:
        trouble = _unsafe(bucket, "a list just after a write does not show it")
        try:
            bucket.get(key)
        except NotFound as error:
            raise _Gone(str(trouble)) from error
        raise trouble


def _must_fail(bucket: Bucket, how: type[ObjectError], header: str, put: Callable[[], str]) -> None:
    with contextlib.suppress(how):
        put()
        raise _unsafe(bucket, f"it ignores {header}, so two writers could overwrite each other")


def _unsafe(bucket: Bucket, what: str) -> UnsafeServer:
    return UnsafeServer(f"{_place(bucket)} is refused for writing: {what}; use a server that keeps this")


def _place(bucket: Bucket) -> str:
    return f"bucket {bucket.name!r} at {place(bucket.access)}"


@contextlib.contextmanager
def _scratch(bucket: Bucket) -> Iterator[list[str]]:
    """Keys to delete at the end, as far as that goes: a writer need not have the right to delete."""
    keys: list[str] = []
    try:
        yield keys
    finally:
        for key in keys:
            with contextlib.suppress(
                ObjectError
            ):  # a few bytes of litter; must not hide the probe's own verdict
                bucket.delete(key)


def cautions(calls: Calls) -> list[str]:
    """Warnings about settings that cost money or destroy data, as far as they may be read."""
    name, found = calls.bucket, []
    with contextlib.suppress(ObjectError):
        versions = calls.at_once("look at", "", lambda s3: s3.get_bucket_versioning(Bucket=name))
        if versions.get("Status") == "Enabled":
            found.append(
                f"bucket {name!r} keeps old versions: deleting frees nothing until a rule removes them"
            )
    with contextlib.suppress(ObjectError):
        rules = calls.at_once("look at", "", lambda s3: s3.get_bucket_lifecycle_configuration(Bucket=name))
        found += [
            f"lifecycle rule {rule.get('ID', '')!r} of bucket {name!r} deletes or moves objects by age;"
            " keep it away from tables and checkpoints, which are needed at any age"
            for rule in rules["Rules"]
            if _is_harmful(rule)
        ]
    return found


def _is_harmful(rule: LifecycleRuleOutputTypeDef) -> bool:
    return rule["Status"] == "Enabled" and bool(rule.get("Expiration") or rule.get("Transitions"))
