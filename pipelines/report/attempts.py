"""The events of a run's attempts, kept in the bucket: `<reports>/<run>/events/<attempt>.jsonl`.

Written by the process that started the ranks, never by the ranks: whole, at each checkpoint and at the end.
Losing one costs a curve, never a run, so a failure to write is told and not raised.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from lstm.training.events import Event
from pipelines.display.names import file_name
from storage.objects import Bucket, NotFound, ObjectError

MOST = 4000
"""Progress reports that a file holds; beyond, neighbours are merged two by two."""

_ATTEMPTS = 100
_SUMMED = ("computing_s", "waiting_s", "validating_s", "saving_s")


def folder(reports: str, run: str) -> str:
    """Where in the bucket a run's report and its events lie."""
    return f"{reports.strip('/')}/{file_name(run)}"


class EventLog:
    """Takes the events of one attempt and keeps them; used as a context and as `on_event` of a launch."""

    def __init__(
        self,
        bucket: Bucket,
        key: str,
        warn: Callable[[str], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bucket, self._key, self._warn, self._clock = bucket, key, warn, clock
        self._events: list[dict[str, Any]] = []
        self._reports = 0
        self._kept = 0
        self._warned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.keep()

    def __call__(self, event: Event) -> None:
        """Take one event; a checkpoint, and the end, make all so far durable."""
        kind = event["event"]
        self._events.append({**_finite(event), "at": self._clock().isoformat(timespec="milliseconds")})
        self._reports += kind == "progress"
        if self._reports > MOST:
            self._events = merged(self._events)
            self._reports = sum(event["event"] == "progress" for event in self._events)
        if kind in ("checkpoint", "finished"):
            self.keep()

    def keep(self) -> None:
        """Write what has come since the last time."""
        if self._kept == len(self._events):
            return
        lines = "".join(json.dumps(event, allow_nan=False) + "\n" for event in self._events)
        try:
            self._bucket.put(self._key, lines.encode())
            self._kept = len(self._events)
        except ObjectError as error:
            if not self._warned:
                self._warned = True
                self._warn(
                    f"the training's events could not be kept, so its report will lack curves: {error}"
                )


def merged(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same events with half as many progress reports: seconds added up, losses and speeds averaged."""
    result: list[dict[str, Any]] = []
    first: dict[str, Any] | None = None
    for event in events:
        if event["event"] != "progress":
            result.append(event)
        elif first is None:
            first = event
        else:
            result.append(_both(first, event))
            first = None
    return result if first is None else [*result, first]


def _both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(second)
    for name in _SUMMED:
        if first.get(name) is not None and second.get(name) is not None:
            both[name] = first[name] + second[name]
    for name in ("loss", "windows_per_s"):
        if first.get(name) is not None and second.get(name) is not None:
            both[name] = (first[name] + second[name]) / 2
    return both


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one launch told, in order."""

    name: str
    events: tuple[Event, ...]

    @property
    def began(self) -> str:
        """When its first event came, UTC."""
        return str(self.events[0].get("at", "")) if self.events else ""

    def of(self, kind: str) -> list[Event]:
        """Its events of one kind."""
        return [event for event in self.events if event["event"] == kind]


def read_attempts(bucket: Bucket, reports: str, run: str) -> list[Attempt]:
    """All attempts whose events are there, in the order in which they began; at most the newest 100."""
    prefix = f"{folder(reports, run)}/events/"
    keys = [found.key for found in bucket.list(prefix) if found.key.endswith(".jsonl")]
    attempts = []
    for key in keys[-_ATTEMPTS:]:
        try:
            text = bucket.get(key).data.decode(errors="replace")
        except NotFound:  # deleted meanwhile
            continue
        events = tuple(event for line in text.splitlines() if (event := _parsed(line)) is not None)
        if events:
            attempts.append(Attempt(key.removeprefix(prefix).removesuffix(".jsonl"), events))
    return sorted(attempts, key=lambda attempt: (attempt.began, attempt.name))


def _parsed(line: str) -> Event | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("event"), str) else None


def _finite(event: Event) -> dict[str, Any]:
    """Without NaN and infinity, which JSON does not know."""
    return {
        name: _finite(value)
        if isinstance(value, Mapping)
        else None
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in event.items()
    }
