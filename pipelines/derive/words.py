"""Lists, durations and shares as people read them."""

import difflib
from collections.abc import Iterable, Sequence

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
WEEK = 7 * DAY
"""Microseconds."""
_UNITS = ((WEEK, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second"))
_SHOWN = 12
_COUNTABLE = 1000


def listed(names: Iterable[str]) -> str:
    """Names in quotes; of many only the first."""
    every = list(names)
    shown = ", ".join(repr(name) for name in every[:_SHOWN])
    return f"{shown} and {len(every) - _SHOWN} more" if len(every) > _SHOWN else shown or "none"


def duration(microseconds: float) -> str:
    """`1 hour`, `10 minutes`, `31 days`: in the largest unit of which it is a whole number, else about."""
    fitting = [unit for unit in _UNITS if microseconds >= unit[0]]
    whole = [unit for unit in fitting if not microseconds % unit[0]]
    if not fitting:
        return f"{microseconds:g} microseconds"
    length, name = whole[0] if whole and microseconds / whole[0][0] < _COUNTABLE else fitting[0]
    count = microseconds / length
    return f"{count:.3g} {name}{'' if count == 1 else 's'}"


def share(part: float, whole: float) -> str:
    """`99.9%`; never rounds to 0% or 100% what is neither."""
    if not whole or part == whole or not part:
        return "0%" if whole and not part else "100%"
    percent = 100 * part / whole
    return "<0.1%" if percent < 0.05 else ">99.9%" if percent > 99.95 else f"{percent:.3g}%"


def near(name: str, names: Sequence[str]) -> str:
    """`did you mean 'x'? ` for a name that was mistyped; empty where nothing is like it."""
    found = difflib.get_close_matches(name.lower(), [it.lower() for it in names], n=3, cutoff=0.6)
    meant = [it for it in names if it.lower() in found]
    return f"did you mean {' or '.join(repr(it) for it in meant)}? " if meant else ""
