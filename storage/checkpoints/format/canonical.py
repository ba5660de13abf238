"""Canonical JSON: one value has one text, so texts can be hashed and compared (docs/checkpoint-format.md)."""

import json
import re
from collections.abc import Mapping
from typing import Any

from storage.checkpoints.errors import Damaged

JSON = Any
"""None, bool, int, float, str, or lists and str-keyed mappings of these."""
DEPTH = 100
"""Containers within each other, the outermost among them, that a commit's meta has at most: what is deeper
could be read or not, by how deep in Python's stack the reader is."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


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
        RecursionError: Python's stack has no room left for it where this is called.
    """
    try:
        value = json.loads(data)
        canonical = _text(value)
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecursionError) and _depth(data) <= 2 * DEPTH:
            raise  # the caller's stack is nearly full; nothing is wrong with the text
        raise Damaged(f"{what} is not JSON: {error}") from error
    if canonical != data:
        raise Damaged(f"{what} is not canonical JSON: it was not written by this program")
    return value


def plain_copy(value: Mapping[str, JSON], what: str) -> dict[str, JSON]:
    """As a reader will get it. Raises ValueError: JSON cannot hold it, or it is nested too deeply."""
    whole = dict(value)
    check_depth(whole, what)
    copy: dict[str, JSON] = loads(dumps(whole), what)
    return copy


def check_depth(value: JSON, what: str) -> None:
    """Raises ValueError: containers lie deeper than `DEPTH` within each other; says where."""
    level: dict[int, tuple[str, JSON]] = {id(value): ("", value)}
    for _ in range(DEPTH):
        inner: dict[int, tuple[str, JSON]] = {}  # by identity: what is shared, or a circle, is seen once
        for path, item in level.values():
            if isinstance(item, (list, tuple)):
                pairs = [(at, it) for at, it in enumerate(item) if isinstance(it, (dict, list, tuple))]
            else:
                pairs = [(at, it) for at, it in item.items() if isinstance(it, (dict, list, tuple))]
            inner.update((id(it), (f"{path}/{at}", it)) for at, it in pairs)
        if not inner:
            return
        level = inner
    path, _ = next(iter(level.values()))
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    raise ValueError(f"{what} is nested too deeply: {shown} lies more than {DEPTH} containers deep")


def _depth(data: bytes) -> int:
    """Containers within each other in a text of JSON."""
    deepest = depth = 0
    for bracket in re.findall(rb"[\[{}\]]", _STRING.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


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
