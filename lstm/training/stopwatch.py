"""Where a rank's time goes between two reports: computing, waiting for data, validating, saving.

Read at reports and around commits only, so no step is timed. Never part of a commit: the same training has
the same commits, however long it took.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Lap:
    """Seconds between two reports."""

    seconds: float
    waiting_s: float
    """For batches that were not there yet."""
    validating_s: float
    saving_s: float
    """For copies of the state, where too many were on their way, and until the last is durable."""

    @property
    def computing_s(self) -> float:
        """What is left: forward, backward, and other ranks."""
        return max(0.0, self.seconds - self.waiting_s - self.validating_s - self.saving_s)

    def to_json(self) -> dict[str, float]:
        """The parts, as events tell them."""
        return {
            "computing_s": self.computing_s,
            "waiting_s": self.waiting_s,
            "validating_s": self.validating_s,
            "saving_s": self.saving_s,
        }


class Stopwatch:
    """Adds up a rank's seconds from one report to the next."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began = clock()
        self._waited = self._validated = self._saved = 0.0

    @contextmanager
    def validating(self) -> Iterator[None]:
        """Around a validation."""
        began = self._clock()
        yield
        self._validated += self._clock() - began

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Around a commit."""
        began = self._clock()
        yield
        self._saved += self._clock() - began

    def lap(self, waited_s: float) -> Lap:
        """The seconds since the last lap; `waited_s` counts from the beginning."""
        now = self._clock()
        lap = Lap(
            seconds=now - self._began,
            waiting_s=waited_s - self._waited,
            validating_s=self._validated,
            saving_s=self._saved,
        )
        self._began, self._waited = now, waited_s
        self._validated = self._saved = 0.0
        return lap
