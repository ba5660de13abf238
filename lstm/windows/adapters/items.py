"""Batches as mappings of arrays: what every adapter hands on, and the stream's cursor behind it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from lstm.windows.batch import Batch
from lstm.windows.errors import WindowError
from lstm.windows.stream import WindowStream

A = TypeVar("A")
"""A framework's array."""

FIELDS = (
    *("values", "times", "series", "starts", "positions", "epoch", "index", "size"),
    *("ids", "past", "past_ids", "known", "known_ids", "target", "target_ids"),
    *("static", "static_ids", "calendar", "level", "spread"),
)
"""What an item may hold; each means what `Batch` says of it. `epoch`, `index`, `size` are single int64."""


def check_fields(fields: Sequence[str]) -> tuple[str, ...]:
    """The fields, each once.

    Raises:
        WindowError: one that no batch has, or none at all.
    """
    wanted = (fields,) if isinstance(fields, str) else tuple(dict.fromkeys(fields))
    unknown = [name for name in wanted if name not in FIELDS]
    if unknown or not wanted:
        raise WindowError(
            f"a batch has the fields {', '.join(FIELDS)}; asked for: {', '.join(wanted) or 'none'}"
        )
    return wanted


def item_of(batch: Batch, fields: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The fields of a batch, without a copy.

    Raises:
        WindowError: one that the stream's columns do not give.
    """
    items = {name: getattr(batch, name) for name in fields}
    if lacking := [name for name, value in items.items() if value is None]:
        raise WindowError(
            f"the batches of this stream have no {', '.join(lacking)}: its columns give none; say more of "
            "them (Column(name=…, role=…)), or leave these fields out"
        )
    return {name: np.asarray(value) for name, value in items.items()}


class Items(Generic[A]):
    """A stream's batches as mappings of some framework's arrays; all else is the stream's."""

    def __init__(
        self, stream: WindowStream, fields: Sequence[str], convert: Callable[[str, NDArray[Any]], A]
    ) -> None:
        """`convert` takes a field's name and its array."""
        self.stream = stream
        self.fields = check_fields(fields)
        self._convert = convert

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.stream)

    def __iter__(self) -> Iterator[dict[str, A]]:
        """Yield the rest of the current epoch."""
        return (self._item(batch) for batch in self.stream)

    def batch(self, epoch: int, index: int) -> dict[str, A]:
        """Replay one batch, without moving the cursor."""
        return self._item(self.stream.batch(epoch, index))

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch."""
        self.stream.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """The cursor, behind the last item that was taken."""
        return self.stream.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a cursor."""
        self.stream.load_state_dict(state)

    def _item(self, batch: Batch) -> dict[str, A]:
        return {name: self._convert(name, array) for name, array in item_of(batch, self.fields).items()}
