"""How a table's times are to be read: in microseconds with a calendar, or as ordinals without one."""

from dataclasses import dataclass

_MINUTE_US = 60_000_000
_HOUR_US = 60 * _MINUTE_US
_DAY_US = 24 * _HOUR_US
_WEEK_US = 7 * _DAY_US
_DAYS_A_YEAR = (365, 366)


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """What a plan knows of its table's times."""

    interval: int = _HOUR_US
    """Usual time between two rows of a series, microseconds (or ordinals)."""
    ordinal: bool = False
    """Times are the table's own integers: they have an order, but no clock, week or year."""

    def seasonal(self, rows: int) -> str:
        """What people call the forecast that repeats what was `rows` rows before.

        It has the season's name where `rows` are a day, a week or a year by this clock.
        """
        if self.ordinal:
            return _rows_before(rows)
        span = rows * self.interval
        unit = {_HOUR_US: "hour", _DAY_US: "day"}.get(self.interval, "time")
        if span == _WEEK_US:
            return f"same {unit} last week"
        if span == _DAY_US:
            return f"same {'time' if unit == 'day' else unit} the day before"
        if span in [days * _DAY_US for days in _DAYS_A_YEAR]:
            return f"same {unit} last year"
        return _rows_before(rows)


HOURLY = Clock()
"""The clock of tasks that were frozen before they had one."""


def _rows_before(rows: int) -> str:
    return "the row before" if rows == 1 else f"same row one season ({rows} rows) before"
