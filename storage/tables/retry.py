"""How often, and how fast, a commit is tried again after another writer won."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

_ATTEMPTS = 100
_FIRST_S = 0.01
_LONGEST_S = 0.5


def attempts(most: int = _ATTEMPTS) -> Iterator[int]:
    """Count attempts, with a random and growing wait between them: about half a minute for all of them."""
    for attempt in range(most):
        if attempt:
            time.sleep(random.uniform(0, min(_LONGEST_S, _FIRST_S * 2**attempt)))  # noqa: S311 - no secret
        yield attempt
