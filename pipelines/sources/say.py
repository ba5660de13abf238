"""How values are shown in messages."""

from datetime import date, datetime


def moment(value: object) -> str:
    """A time as people read it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)
