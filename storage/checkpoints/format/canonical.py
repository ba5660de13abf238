"""Canonical JSON: one value has one text, so texts can be hashed and compared (docs/checkpoint-format.md)."""

import json
from typing import Any

from storage.checkpoints.errors import Damaged

JSON = Any
"""None, bool, int, float, str, or lists and str-keyed mappings of these."""


def dumps(value: JSON) -> bytes:
    """The canonical text of `value`.

    Raises:
        ValueError: it holds NaN, an infinity, a key that is no string, or something that JSON has not.
    """
    try:
        _check_keys(value)
        return _text(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"canonical JSON cannot hold this: {error}{_where(value)}") from error


def loads(data: bytes, what: str) -> JSON:
    """The value of a canonical text.

    Args:
        data: bytes from a repository; anything may be in there.
        what: where they came from, for messages.

    Raises:
        Damaged: not canonical JSON.
    """
    try:
        value = json.loads(data)
        canonical = _text(value)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{what} is not JSON: {error}") from error
    if canonical != data:
        raise Damaged(f"{what} is not canonical JSON: it was not written by this program")
    return value


def _text(value: JSON) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _check_keys(value: JSON) -> None:
    """`json` would turn other keys into strings without a word."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            for key in item:
                if not isinstance(key, str):
                    raise TypeError(f"key {key!r} is no string")
            pending.extend(item.values())
        elif isinstance(item, (list, tuple)):
            # a million names in a list are passed by at once
            pending.extend([inner for inner in item if type(inner) is not str])


def _where(value: JSON) -> str:
    """The path to the first float that is not finite, if that is what is wrong."""
    pending: list[tuple[str, JSON]] = [("", value)]
    for _ in range(100_000):  # a cycle must not hang the message
        if not pending:
            break
        path, item = pending.pop()
        if isinstance(item, float) and item - item != 0:
            return f" (at {path or '/'}: {item})"
        if isinstance(item, dict):
            pending.extend((f"{path}/{key}", inner) for key, inner in item.items())
        elif isinstance(item, (list, tuple)):
            pending.extend((f"{path}/{index}", inner) for index, inner in enumerate(item))
    return ""
