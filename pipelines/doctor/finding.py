"""What one check found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from storage.errors import UserError


class Outcome(StrEnum):
    """How a check went."""

    ok = "ok"
    warning = "warning"
    """Carousel works, but something may cost time, money or data."""
    problem = "problem"
    """Carousel, or this run, does not work so."""
    skipped = "skipped"
    """It could not be looked at, because of another finding or because there is nothing to look at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of the doctor's answer."""

    name: str
    """What was looked at."""
    outcome: Outcome
    seen: str
    """What was seen, with its numbers."""
    remedy: str | None = None
    """What to do; there is one for every warning and problem."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """The numbers of `seen`, for scripts."""


def ok(name: str, seen: str, **figures: Any) -> Finding:
    """All is well."""
    return Finding(name=name, outcome=Outcome.ok, seen=seen, figures=figures)


def warning(name: str, seen: str, remedy: str, **figures: Any) -> Finding:
    """It works, but."""
    return Finding(name=name, outcome=Outcome.warning, seen=seen, remedy=remedy, figures=figures)


def problem(name: str, seen: str, remedy: str, **figures: Any) -> Finding:
    """It does not work."""
    return Finding(name=name, outcome=Outcome.problem, seen=seen, remedy=remedy, figures=figures)


def skipped(name: str, why: str) -> Finding:
    """Not looked at."""
    return Finding(name=name, outcome=Outcome.skipped, seen=why)


def mistake(name: str, error: UserError, remedy: str) -> Finding:
    """What a user's mistake comes to; the remedy stands in most messages, after a semicolon."""
    seen, _, rest = str(error).partition("; ")
    if not rest or " answers " in rest:  # what a server said is no remedy
        return problem(name, str(error), remedy)
    return problem(name, seen, rest)
