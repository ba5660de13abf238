"""Where a moment stands in its day and its week, and if asked for in its year, by the clock on a wall.

People fly, shop and sleep by local time, so a table's UTC instants are turned into the local time of one
time zone first, daylight saving included. Offsets are looked up per UTC hour; zones that change theirs
within an hour (Lord Howe Island) are off for half of that hour.
"""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

_MINUTE_US = 60_000_000
_HOUR_US = 60 * _MINUTE_US
_DAY_US = 24 * _HOUR_US
_WEEK_US = 7 * _DAY_US
_MONDAY_US = 3 * _DAY_US  # 1970-01-01 was a Thursday
HOURS_A_WEEK = 168
_YEAR_H = 366 * 24
"""Hours of the longest year: as finely a place in a year is told."""
_FIRST_KNOWN_H, _LAST_KNOWN_H = -17_000_000, 70_000_000
"""Hours since 1970 of which the standard library knows the local time anywhere: the years 30 to 9955."""
HARMONICS = 3
"""Sines and cosines per cycle: enough for a morning and an evening peak."""
_DENSE_HOURS = 1_000_000
"""Hours (114 years) whose offsets are looked up one and all; a longer span is looked up where it has rows."""


@dataclass(frozen=True, slots=True)
class _Offsets:
    """Microseconds that local time is ahead of UTC, in hours one behind the other."""

    first: int
    """Hours from 1970 to the first of them."""
    by_hour: NDArray[np.int64]

    @property
    def end(self) -> int:
        """The hour after the last one."""
        return self.first + len(self.by_hour)

    def spans(self, first: int, end: int) -> int:
        """Hours from the first to the last, of [first, end) and of these."""
        return max(end, self.end) - min(first, self.first) if len(self.by_hour) else end - first


class Calendar:
    """Local time of one zone, as numbers for a model. For any thread."""

    features = 2 * 2 * HARMONICS
    """Numbers per moment: sine and cosine, of the day and of the week, `HARMONICS` each; of the year as many
    again where it is asked for."""

    def __init__(self, timezone: str, *, year: bool = False) -> None:
        """By the clock of a zone; with `year` a moment is placed in its year, too.

        Raises:
            ValueError: a name that the time zone database does not know.
        """
        try:
            self._zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
            raise ValueError(f"no time zone {timezone!r}; names look like 'America/New_York'") from unknown
        self._waves = _waves()
        self._year_waves = _year_waves() if year else None
        if year:
            self.features = 3 * 2 * HARMONICS
        self._offsets = _Offsets(0, np.empty(0, np.int64))

    def local(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Microseconds since 1970 UTC to microseconds of local time since a local Monday's midnight."""
        hours = times // _HOUR_US
        if not times.size:
            return times + _MONDAY_US
        first, end = int(hours.min()), int(hours.max()) + 1
        known = self._offsets  # looked at once: another thread may come to know more
        if known.spans(first, end) > _DENSE_HOURS:
            few, places = np.unique(hours, return_inverse=True)
            offsets = np.array([self._offset(hour) for hour in few.tolist()], np.int64)
            return times + offsets[places.reshape(hours.shape)] + _MONDAY_US
        known = self._offsets = self._covering(known, first, end)
        return times + known.by_hour[hours - known.first] + _MONDAY_US

    def hour_of_week(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """0 (Monday, 00:00 to 00:59) to 167, local time."""
        return self.local(times) % _WEEK_US // _HOUR_US

    def encode(self, times: NDArray[np.int64]) -> NDArray[np.float32]:
        """[...] microseconds since 1970 UTC to [..., features] in [-1, 1]; a place in a year by the hour."""
        local = self.local(times)
        waves: NDArray[np.float32] = self._waves[local % _WEEK_US // _MINUTE_US]
        if self._year_waves is None:
            return waves
        return np.concatenate([waves, self._year_waves[_hour_of_year(local - _MONDAY_US)]], axis=-1)

    def _covering(self, known: "_Offsets", first: int, end: int) -> "_Offsets":
        """What is known, and the offsets of hours [first, end) since 1970."""
        begin, known_end = (known.first, known.end) if len(known.by_hour) else (first, first)
        before = [self._offset(hour) for hour in range(first, begin)]
        after = [self._offset(hour) for hour in range(known_end, end)]
        if not before and not after:
            return known
        by_hour = np.concatenate([before, known.by_hour, after]).astype(np.int64)
        return _Offsets(min(first, begin), by_hour)

    def _offset(self, hour: int) -> int:
        known = min(max(hour, _FIRST_KNOWN_H), _LAST_KNOWN_H)  # a date may stand for one that is not known
        shift = datetime.fromtimestamp(known * 3600, self._zone).utcoffset()
        assert shift is not None
        return round(shift.total_seconds()) * 1_000_000


class NoCalendar(Calendar):
    """Of ordinals, which have no clock and no week: a model sees zeros, and all rows share one hour."""

    def __init__(self) -> None:
        super().__init__("UTC")

    def local(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Zeros, whatever the ordinals."""
        return np.zeros_like(times)

    def encode(self, times: NDArray[np.int64]) -> NDArray[np.float32]:
        """[..., features] zeros."""
        return np.zeros((*times.shape, self.features), np.float32)


def _hour_of_year(local: NDArray[np.int64]) -> NDArray[np.int64]:
    """[...] microseconds of local time since 1970 to hours, 0 to 8783; a year of 365 days is stretched."""
    moment = local.view("datetime64[us]")
    year = moment.astype("datetime64[Y]")
    begin, end = (it.astype("datetime64[us]") for it in (year, year + 1))
    share: NDArray[np.float64] = (moment - begin) / (end - begin)
    hour: NDArray[np.int64] = np.minimum((share * _YEAR_H).astype(np.int64), _YEAR_H - 1)
    return hour


def _year_waves() -> NDArray[np.float32]:
    """[8784, 2 · HARMONICS]"""
    angle = np.arange(_YEAR_H) * (2 * np.pi / _YEAR_H)
    waves = [wave(harmonic * angle) for harmonic in range(1, HARMONICS + 1) for wave in (np.sin, np.cos)]
    return np.stack(waves, axis=-1).astype(np.float32)


def _waves() -> NDArray[np.float32]:
    """The encoding of every minute of a week, [10080, features]: looking up is ten times as fast as sines."""
    minutes = np.arange(_WEEK_US // _MINUTE_US) * _MINUTE_US
    waves = []
    for cycle in (_DAY_US, _WEEK_US):
        angle = (minutes % cycle) * (2 * np.pi / cycle)
        for harmonic in range(1, HARMONICS + 1):
            waves += [np.sin(harmonic * angle), np.cos(harmonic * angle)]
    return np.stack(waves, axis=-1).astype(np.float32)
