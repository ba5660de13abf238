"""What a state dict holds beside tensors, as JSON that says the types: no pickle is written or read."""

import base64
import binascii
import io
import math
from typing import Any

from storage.checkpoints.errors import CheckpointError


class NotStorable(CheckpointError):
    """A state dict holds an object that is neither a tensor nor plain data."""


def to_json(key: str, value: object) -> Any:
    """None, bool, int, float and str as they are; list, tuple, dict, bytes and BytesIO with their kind.

    Raises:
        NotStorable: anything else; names `key`.
    """
    kind = type(value)
    if kind in (type(None), bool, int, str):
        return value
    if isinstance(value, float) and kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, bytes) and kind is bytes:
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, io.BytesIO):
        return {"BytesIO": base64.b64encode(value.getvalue()).decode()}
    if isinstance(value, list | tuple) and kind in (list, tuple):
        return {kind.__name__: [to_json(f"{key}[{at}]", it) for at, it in enumerate(value)]}
    if isinstance(value, dict):
        pairs = [(to_json(key, name), to_json(f"{key}.{name}", it)) for name, it in value.items()]
        return {"dict": [list(pair) for pair in pairs]}
    raise NotStorable(
        f"{key!r} is a {kind.__module__}.{kind.__qualname__}; a checkpoint holds tensors, None, bool, int,"
        " float, str, bytes, and lists, tuples and dicts of them: convert it, or leave it out of the state"
    )


def from_json(value: Any) -> Any:
    """What `to_json` was given. Raises ValueError: it did not make this."""
    if not isinstance(value, dict):
        return value
    match value:
        case {"float": ("nan" | "inf" | "-inf") as text}:
            return float(text)
        case {"list": list(items)}:
            return [from_json(item) for item in items]
        case {"tuple": list(items)}:
            return tuple(from_json(item) for item in items)
        case {"dict": list(pairs)}:
            return {from_json(name): from_json(item) for name, item in pairs}
        case {"bytes": str(text)}:
            return _decoded(text)
        case {"BytesIO": str(text)}:
            return io.BytesIO(_decoded(text))
    raise ValueError(f"not a value of a checkpoint: {str(value)[:80]}")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not bytes of a checkpoint: {error}") from error
