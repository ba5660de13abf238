"""How values are shown in messages."""

from collections.abc import Sequence
from datetime import date, datetime

_SHOWN = 20


def moment(value: object) -> str:
    """A time as people read it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)


def listed(columns: Sequence[str]) -> str:
    """Names of columns; of many only the first."""
    more = f" and {len(columns) - _SHOWN:,} more" if len(columns) > _SHOWN else ""
    return ", ".join(columns[:_SHOWN]) + more
