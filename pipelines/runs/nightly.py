"""Names of runs that a schedule starts: the name in the settings, and the date."""

import re
from collections.abc import Iterable
from datetime import date


def dated_name(run: str, day: date) -> str:
    """`flights` on 21 November 2026: `flights-2026-11-21`."""
    return f"{run}-{day.isoformat()}"


def dated_runs(run: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that a schedule made of `run`, newest first."""
    dated = re.compile(re.escape(run) + r"-\d{4}-\d{2}-\d{2}")
    return sorted((name for name in names if dated.fullmatch(name)), reverse=True)


def runs_of(run: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that are `run` itself, a further one of it (`flights-2`), or a dated one."""
    known = list(names)
    own = re.compile(re.escape(run) + r"(-\d+)?")
    return [*(name for name in known if own.fullmatch(name)), *dated_runs(run, known)]
