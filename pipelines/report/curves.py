"""Losses and seconds over steps, from the events of all attempts and from the commits."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lstm.training.events import Event
from pipelines.report.attempts import Attempt
from pipelines.report.content import CommitPoint, Curves, Missing, Timing, number
from storage.checkpoints import Commit

POINTS = 2000
"""Progress reports on a page; beyond, every so manieth is shown."""
LAPS = 200
"""Laps on a page; beyond, neighbours are added up. A bar is more work to draw than a point of a line."""

_NOWHERE = 2**62

GONE = (
    "The events of this training are not in the bucket (they are written by the process that trains, "
    "from this version on), so only what its checkpoints hold is shown."
)


def curves_of(attempts: Sequence[Attempt], commits: Sequence[Commit], *, chosen: str, budget: int) -> Curves:
    """The curves of a run, those parts left out that a later attempt trained anew."""
    reports, resumed = reported(attempts)
    shown = _thinned(reports)
    return Curves(
        steps=tuple(int(event["step"]) for event in shown),
        losses=tuple(_figure(event, "loss") for event in shown),
        commits=tuple(
            CommitPoint(
                id=commit.id,
                step=commit.step,
                training_loss=number(commit.metrics.get("training_loss")),
                validation_loss=number(commit.metrics.get("validation_loss")),
            )
            for commit in sorted(commits, key=lambda commit: commit.step)
        ),
        chosen=chosen,
        resumed_at=resumed,
        budget=budget,
    )


def timing_of(attempts: Sequence[Attempt]) -> Timing | Missing:
    """Where the seconds went; the last lap of an attempt that ended is its `finished`."""
    reports, resumed = reported(attempts, "progress", "finished")
    timed = [event for event in reports if _figure(event, "computing_s") is not None]
    if not timed:
        return Missing(GONE)
    shown = _summed(timed)
    return Timing(
        steps=tuple(int(event["step"]) for event in shown),
        computing_s=_seconds(shown, "computing_s"),
        waiting_s=_seconds(shown, "waiting_s"),
        validating_s=_seconds(shown, "validating_s"),
        saving_s=_seconds(shown, "saving_s"),
        windows_per_s=tuple(_figure(event, "windows_per_s") for event in shown),
        resumed_at=resumed,
    )


def reported(attempts: Sequence[Attempt], *kinds: str) -> tuple[list[Event], tuple[int, ...]]:
    """Progress reports that count, in order of steps, and where later attempts went on.

    What an attempt did beyond the step from which the next one went on has been done again.
    """
    wanted = kinds or ("progress",)
    begins = [_begin(attempt) for attempt in attempts]
    ends = [min(begins[place + 1 :], default=None) for place in range(len(attempts))]
    events = [
        event
        for attempt, end in zip(attempts, ends, strict=True)
        for event in attempt.events
        if event["event"] in wanted
        and isinstance(event.get("step"), int)
        and (end is None or event["step"] <= end)
    ]
    events.sort(key=lambda event: (event["step"], event["event"] == "finished"))
    resumed = sorted({begin for begin in begins[1:] if 0 < begin < _NOWHERE})
    return events, tuple(resumed)


def notes_of(attempts: Sequence[Attempt]) -> tuple[str, ...]:
    """What was told in plain words while it trained, each once."""
    found: dict[str, None] = {}
    for attempt in attempts:
        for event in attempt.events:
            if event["event"] == "started":
                found |= dict.fromkeys(str(note) for note in event.get("notes") or ())
            elif event["event"] in ("note", "error") and event.get("message"):
                said = "an attempt ended with: " if event["event"] == "error" else ""
                found[f"{said}{event['message']}"] = None
    return tuple(found)


def _begin(attempt: Attempt) -> int:
    """The step from which an attempt trained; before it told any, it had trained nothing."""
    started = attempt.of("started")
    step = started[0].get("step") if started else None
    return step if isinstance(step, int) else _NOWHERE


def _figure(event: Event, name: str) -> float | None:
    value: Any = event.get(name)
    return number(value) if isinstance(value, int | float) else None


def _seconds(events: Sequence[Event], name: str) -> tuple[float, ...]:
    return tuple(round(max(0.0, _figure(event, name) or 0.0), 4) for event in events)


def _thinned(events: Sequence[Event]) -> Sequence[Event]:
    every = -(-len(events) // POINTS) or 1
    return events[::every]


def _summed(events: Sequence[Event]) -> list[Event]:
    """At most LAPS laps with the same seconds in all."""
    every = -(-len(events) // LAPS) or 1
    edges = [*range(0, len(events), every), len(events)]
    laps: list[Event] = []
    for begin, end in pairwise(edges):
        part = events[begin:end]
        speeds = [speed for event in part if (speed := _figure(event, "windows_per_s")) is not None]
        laps.append(
            {
                **part[-1],
                "windows_per_s": sum(speeds) / len(speeds) if speeds else None,
                **{
                    name: sum(_figure(event, name) or 0.0 for event in part)
                    for name in ("computing_s", "waiting_s", "validating_s", "saving_s")
                },
            }
        )
    return laps
