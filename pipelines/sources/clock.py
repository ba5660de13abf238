"""Times of a file as moments in UTC.

A clock on a wall that is set back shows an hour twice. The first time that a series shows such a time, in
the order of the file, is taken for the earlier moment, the second for the later one. A time that no clock of
the zone ever showed is refused.
"""

from typing import NoReturn
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.sources import clock_text
from pipelines.sources.clock_text import INSTANT, NAIVE
from pipelines.sources.facts import Rows
from pipelines.sources.reading import Reading
from storage.errors import UserError

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}
_FIRST, _LAST = -2_208_988_800, 7_258_118_400  # the years 1900 and 2200
_MICROSECONDS = 1_000_000


def check_zone(name: str) -> None:
    """Refuse a zone that this machine does not know."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UserError(f"--timezone {name} is not known; write it as Europe/Paris, or UTC") from None


class Clock:
    """Reads the time column of one file, from its first row on."""

    def __init__(self, rows: Rows, column: str, reading: Reading) -> None:
        self._rows = rows
        self._column = column
        self._reading = reading
        self._seen: set[tuple[object, object]] = set()
        self.twice = 0
        """Rows so far whose clock showed the same time twice."""

    def read(self, values: pa.Array, entities: pa.Array | None, first: int) -> pa.Array:
        """Moments (or ordinals) of the next rows.

        Args:
            values: text without nulls' names, numbers, timestamps or dates.
            entities: of the same rows, if there are any.
            first: the first one's row.

        Raises:
            UserError: a time is missing, or is none.
        """
        if values.null_count:
            self._refuse(
                values, pc.is_null(values), first, "has no time", "remove such rows, or fill in their time"
            )
        if pa.types.is_string(values.type):
            values = self._of_text(values, first)
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            return self._counted(values, first)
        if pa.types.is_date(values.type):
            values = values.cast(pa.date32()).cast(pa.timestamp("s")).cast(NAIVE)
        try:
            values = values.cast(pa.timestamp("us", tz=values.type.tz))
        except pa.ArrowInvalid:
            raise UserError(
                f"times of {self._column!r} in {self._rows.name} are finer than a microsecond; round them"
            ) from None
        if values.type.tz is not None:
            return values.cast(INSTANT)
        zone = self._reading.timezone
        return self._placed(values, zone, entities, first) if zone else values.cast(pa.int64()).cast(INSTANT)

    def _of_text(self, values: pa.Array, first: int) -> pa.Array:
        written = self._reading.time_format
        if written is not None:
            found = clock_text.by_format(values, written)
            if found.null_count:
                remedy = f"which is not as --time-format {written!r} says"
                self._refuse(
                    values, pc.is_null(found), first, "has the time {}, " + remedy, "correct one of them"
                )
            return found
        if self._reading.time_unit is not None:
            try:
                whole = pc.cast(values, pa.int64())
            except pa.ArrowInvalid:
                whole = None
            return pc.cast(values, pa.float64()) if whole is None else whole
        for kind in ("naive", "zoned"):
            if (moments := clock_text.parsed(values, kind)) is not None:
                return moments
        return self._not_understood(values, first)

    def _not_understood(self, values: pa.Array, first: int) -> NoReturn:
        like = {kind: pc.sum(mask).as_py() or 0 for kind, mask in clock_text.masks(values).items()}
        usual: clock_text.Kind = "zoned" if like["zoned"] > like["naive"] else "naive"
        bad = pa.array([clock_text.parsed(values.slice(it, 1), usual) is None for it in range(len(values))])
        self._refuse(
            values,
            bad,
            first,
            "has the time {}, which is not ISO 8601 to the microsecond, as the others are",
            "say how times are written, such as --time-format '%d/%m/%Y %H:%M', or correct it",
        )

    def _counted(self, values: pa.Array, first: int) -> pa.Array:
        unit = self._reading.time_unit
        if unit is None:
            raise UserError(f"times of {self._column!r} are numbers; say what they count with --time-unit")
        if unit == "ordinal":
            return values.cast(pa.int64())
        low, high = (edge * _PER_SECOND[unit] for edge in (_FIRST, _LAST))
        outside = pc.or_(pc.less(values, low), pc.greater(values, high))
        if pc.any(outside).as_py():
            self._refuse(
                values,
                outside,
                first,
                "has the time {}, which is not between the years 1900 and 2200 in " + unit,
                "give another --time-unit",
            )
        factor = _MICROSECONDS // _PER_SECOND[unit]
        if pa.types.is_floating(values.type):
            values = pc.round(pc.multiply(values, float(factor)))
            return values.cast(pa.int64()).cast(INSTANT)
        return pc.multiply(values.cast(pa.int64()), factor).cast(INSTANT)

    def _placed(self, naive: pa.Array, zone: str, entities: pa.Array | None, first: int) -> pa.Array:
        """Moments of times that clocks of `zone` showed."""
        before = pc.assume_timezone(naive, zone, ambiguous="earliest", nonexistent="earliest")
        never = pc.not_equal(
            before, pc.assume_timezone(naive, zone, ambiguous="earliest", nonexistent="latest")
        )
        if pc.any(never).as_py():
            self._refuse(
                naive,
                never,
                first,
                f"has the time {{}}, which no clock in {zone} showed (an hour was left out)",
                "correct --timezone: UTC, or a fixed one such as Etc/GMT-1, if the clock was never set "
                "forward",
            )
        after = pc.assume_timezone(naive, zone, ambiguous="latest", nonexistent="earliest")
        twofold = pc.not_equal(before, after)
        if pc.any(twofold).as_py():
            again = self._again(naive, entities, twofold)
            before = pc.if_else(again, after, before)
        return before.cast(INSTANT)

    def _again(self, naive: pa.Array, entities: pa.Array | None, twofold: pa.Array) -> pa.Array:
        """Which rows show a time for the second time."""
        again = [False] * len(naive)
        places = pc.indices_nonzero(twofold).to_pylist()
        self.twice += len(places)
        for place in places:
            key = (None if entities is None else entities[place].as_py(), naive[place].as_py())
            again[place] = key in self._seen
            self._seen.add(key)
        return pa.array(again)

    def _refuse(self, values: pa.Array, mask: pa.Array, first: int, what: str, remedy: str) -> NoReturn:
        place = pc.index(pc.fill_null(mask, True), True).as_py()
        count = pc.sum(pc.fill_null(mask, True)).as_py()
        said = what.format(repr(str(values[place].as_py())))
        more = f" ({count:,} such rows there)" if count > 1 else ""
        raise UserError(f"{self._rows.name} {self._rows.where(first + place)} {said}{more}; {remedy}")
