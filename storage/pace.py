"""A cap on requests per second, shared by all threads of a process: for servers that count or bill them."""

import functools
import threading
import time
from collections.abc import Callable


class Pace:
    """Lets requests go one by one, evenly: between any two of them lies at least 1 ÷ rate."""

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises ValueError: a rate that is not above 0."""
        if not per_second > 0:
            raise ValueError(f"requests per second must be above 0, got {per_second}")
        self._gap_s = 1 / per_second
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, **_: object) -> None:
        """Return when one more request may go. Takes what an SDK tells its listeners, and ignores it."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._gap_s
        if turn > now:
            self._sleep(turn - now)


@functools.cache
def pace_of(server: str, per_second: float) -> Pace:
    """The pace of this process towards a server; whoever asks for the same rate shares it."""
    return Pace(per_second)
