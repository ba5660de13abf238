"""Take apart parsed JSON that may be hostile: a value has its type and is within its limits, or Damaged."""

from collections.abc import Sequence
from typing import Any

from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.names import COUNT_LIMIT, TEXT_LIMIT


class Fields:
    """One JSON object whose keys must be exactly those that are taken."""

    def __init__(self, value: Any, what: str, required: Sequence[str], optional: Sequence[str] = ()) -> None:
        if not isinstance(value, dict):
            raise Damaged(f"{what} is no object")
        wrong = (set(required) - value.keys()) | (value.keys() - {*required, *optional})
        if wrong:
            raise Damaged(f"{what} lacks or must not have {sorted(map(str, wrong))[:5]}")
        self.value: dict[str, Any] = value
        self.what = what

    def text(self, key: str, limit: int = TEXT_LIMIT) -> str:
        """A string of at most `limit` characters."""
        return text(self.value[key], f"{self.what}.{key}", limit)

    def count(self, key: str, limit: int = COUNT_LIMIT) -> int:
        """An integer from 0 to `limit`."""
        return count(self.value[key], f"{self.what}.{key}", limit)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.value[key]
        if not isinstance(value, bool):
            raise Damaged(f"{self.what}.{key} is neither true nor false")
        return value

    def items(self, key: str) -> list[Any]:
        """An array."""
        return items(self.value[key], f"{self.what}.{key}")

    def mapping(self, key: str) -> dict[str, Any]:
        """An object with any keys."""
        value = self.value[key]
        if not isinstance(value, dict):
            raise Damaged(f"{self.what}.{key} is no object")
        return value


def text(value: Any, what: str, limit: int = TEXT_LIMIT) -> str:
    """A string of at most `limit` characters."""
    if not isinstance(value, str) or len(value) > limit:
        raise Damaged(f"{what} is no string of at most {limit} characters")
    return value


def count(value: Any, what: str, limit: int = COUNT_LIMIT) -> int:
    """An integer from 0 to `limit`; true and 1.0 are none."""
    if type(value) is not int or not 0 <= value <= limit:
        raise Damaged(f"{what} is no integer from 0 to {limit}")
    return value


def items(value: Any, what: str, length: int | None = None) -> list[Any]:
    """An array, of `length` elements if given."""
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise Damaged(f"{what} is no array{f' of {length}' if length is not None else ''}")
    return value


def sized_name(value: Any, what: str, limit: int) -> tuple[str, int]:
    """`[name, bytes]`; the name is not checked."""
    name, size = items(value, what, 2)
    return text(name, what), count(size, what, limit)
