"""Being asked to end: SIGTERM is noted here and acted on between two steps, when the state is whole."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

from storage.errors import UserError

DEADLINE_S = 15.0
"""Seconds that the last save may take. Clusters send SIGKILL 30 s after SIGTERM, and torchrun does too."""


class Stopped(UserError):
    """Somebody asked training to end before it was done; says what is durable."""


class StopSignal:
    """Notes SIGTERM while its block runs, instead of ending the process."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        self._before: Any = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
