"""How many GETs this process sends to buckets, through whichever of its objects."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from storage.object_calls import Calls


class Gets:
    """`count`: those so far; a repeated one counts once."""

    count = 0


@contextmanager
def counted_gets() -> Iterator[Gets]:
    """Count while the block runs."""
    gets, lock, read = Gets(), threading.Lock(), Calls.read

    def counting(*asked: Any) -> Any:
        with lock:
            gets.count += 1
        return read(*asked)

    with patch.object(Calls, "read", counting):
        yield gets
