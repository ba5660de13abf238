"""How files are read: what a person may say about them, and the part of it that shapes the rows."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

TimeUnit = Literal["s", "ms", "us", "ordinal"]

LAYOUT = 1
"""Counts the ways in which rows are cut into appends; another one makes other transactions."""
_DECIDED = ("time", "entity", "columns", "delimiter")
"""Found where they are not said: saying what is found anyway changes no row."""
_LATER = ("thousands",)
"""Came after the first tables were written: they count where they are said, so older files stay known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How rows are read from files. Whatever is not said is found out, or refused where it is ambiguous."""

    time: str | None = None
    """Column that orders the rows of a series; None: the only one that holds times."""
    entity: str | None = None
    """Column that tells series apart; None: the rows are one series."""
    columns: tuple[str, ...] = ()
    """Columns to keep; none named: all."""
    delimiter: str | None = None
    """CSV: what separates values; None: found from the first lines."""
    decimal: str = "."
    """CSV: the decimal mark of numbers, `.` or `,`."""
    thousands: str | None = None
    """CSV: what groups the digits of numbers (`1,234.5`); None: nothing does."""
    encoding: str = "utf-8"
    """CSV: how text is encoded."""
    null_values: tuple[str, ...] = ()
    """CSV: texts that stand for a missing value beside the usual ones, in text columns too."""
    text: tuple[str, ...] = ()
    """CSV: columns that stay text although most of their values are numbers."""
    infinities: Literal["refuse", "null"] = "refuse"
    """What becomes of infinite numbers."""
    duplicates: Literal["refuse", "first", "last"] = "refuse"
    """Which of several rows of one series and time is kept, in the order of the file."""
    time_unit: TimeUnit | None = None
    """What whole numbers in the time column count since 1970; `ordinal`: they are no times, only an order."""
    time_format: str | None = None
    """How times are written where it is not ISO 8601: `%d/%m/%Y %H:%M`."""
    timezone: str | None = None
    """Where clocks showed times that are written without a zone (`Europe/Paris`); None: UTC."""
    wide: bool = False
    """CSV: one series per line, its name and then its values; see `wide.py`."""
    every: str | None = None
    """Wide: time between neighbouring values (`1h`)."""
    end: str | None = None
    """Wide: time of every series' last value."""
    together: bool = False
    """All files are one body of rows: sorted together, known or new together."""

    def shapes(self) -> str:
        """What of this decides which rows come out, beside the columns, as text for a transaction's id."""
        said = asdict(self)
        unsaid = [name for name in _LATER if said[name] is None]
        values = {name: value for name, value in said.items() if name not in (*_DECIDED, *unsaid)}
        return json.dumps({"layout": LAYOUT, **values}, sort_keys=True, separators=(",", ":"))
