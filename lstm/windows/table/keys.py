"""What tells series apart, orders them and cuts them; and times as people read and write them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from lstm.windows.errors import WindowError, WrongColumnType
from lstm.windows.table.columns import column_type, is_text

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FURTHEST = 2**62
"""Microseconds (146,000 years from 1970) or ordinals: differences of times up to this one fit 64 bits."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Which columns tell series apart and order them, and where a series is cut."""

    entity: str | None
    """None: the table is one series."""
    time: str
    ordinal: bool
    """Times are the table's own integers, not microseconds."""
    max_gap: int | None
    """Microseconds (or ordinals) between two rows above which a series is cut; None: never."""
    sorts: bool = False
    """Whether row groups have to be sorted as they are read, since not all of them lie sorted by entity and
    time."""
    grid: int | None = None
    """Microseconds (or ordinals) between two rows of a series, of which those that the table lacks are filled
    in, unless more than `max_gap` lies between two that it has; None: a series has the table's rows."""

    @property
    def columns(self) -> list[str]:
        """What a scan reads."""
        return [self.time] if self.entity is None else [self.entity, self.time]

    @property
    def cut_by(self) -> list[int | None]:
        """What decides where runs of rows are cut, or refused, when a file is scanned."""
        return [self.max_gap] if self.grid is None else [self.max_gap, self.grid]

    def say(self, time: int) -> str:
        """A time as people read it."""
        return say_time(time, ordinal=self.ordinal)

    def say_length(self, length: int) -> str:
        """Time between two rows as people read it: `1 day, 2:00:00`, or ordinals."""
        return f"{length:,}" if self.ordinal else str(length * _MICROSECOND)


def say_time(time: int, *, ordinal: bool) -> str:
    """A time as people read it: ISO 8601 in UTC, or the ordinal."""
    if ordinal:
        return str(time)
    try:
        return (_EPOCH + timedelta(microseconds=time)).isoformat().replace("+00:00", "Z")
    except OverflowError:  # beyond the years 1 to 9999
        return f"{time} microseconds since 1970"


def read_time(text: str, *, ordinal: bool) -> int:
    """The inverse of `say_time`; a time without a zone is UTC.

    Raises:
        WindowError: it is none.
    """
    try:
        if ordinal:
            return int(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        form = "a whole number, as the table's times are" if ordinal else "ISO 8601, as 2024-05-01T06:00"
        raise WindowError(f"{text!r} is no time: write {form}") from None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def keys_for(
    schema: pa.Schema,
    entity: str | None,
    time: str,
    max_gap: timedelta | int | None,
    grid: timedelta | int | None = None,
) -> Keys:
    """Check that the columns can serve as keys.

    Raises:
        MissingColumn: there is no such column.
        WrongColumnType: entities are not integers or text, times neither timestamps, dates nor integers.
        WindowError: one column for both; a gap or a grid that is not positive, or a duration where times are
            ordinals; a grid that is longer than the gap, or finer than the times are.
    """
    if entity is not None:
        kind = column_type(schema, entity)
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_integer(value) or is_text(value)):
            raise WrongColumnType(
                f"column {entity!r} is {kind}, but entities must be integers or text; "
                "choose another entity column"
            )
    kind = column_type(schema, time)
    ordinal = pa.types.is_integer(kind)
    if not (ordinal or pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise WrongColumnType(
            f"column {time!r} is {kind}, but times must be timestamps, dates or integers; "
            "convert it when the table is written, or choose another time column"
        )
    if entity == time:
        raise WindowError(
            f"column {time!r} cannot both tell series apart and order their rows: each series would have one "
            "row; name two columns, or no entity where the table is one series"
        )
    gap, step = _length("max_gap", max_gap, ordinal), _length("grid", grid, ordinal)
    keys = Keys(entity, time, ordinal, gap, grid=step)
    if step is not None:
        _check_grid(keys, step, kind)
    return keys


def _length(name: str, given: timedelta | int | None, ordinal: bool) -> int | None:
    if given is None:
        return None
    if isinstance(given, timedelta) == ordinal:
        raise WindowError(
            f"{name} must be {'an integer, as times are' if ordinal else 'a duration'}, got {given!r}"
        )
    length = given // _MICROSECOND if isinstance(given, timedelta) else given
    if length < 1:
        raise WindowError(f"{name} must be positive, got {given}")
    return length


_UNITS = {"s": 1_000_000, "ms": 1_000}
_DAY = 86_400_000_000


def _check_grid(keys: Keys, grid: int, kind: pa.DataType) -> None:
    if keys.max_gap is not None and keys.max_gap < grid:
        raise WindowError(
            f"max_gap ({keys.say_length(keys.max_gap)}) is shorter than grid ({keys.say_length(grid)}): "
            "neighbours on the grid would be cut apart; lengthen it, or leave it out to fill all gaps"
        )
    unit = _DAY if pa.types.is_date(kind) else 1 if keys.ordinal else _UNITS.get(kind.unit, 1)
    if grid % unit:
        raise WindowError(
            f"column {keys.time!r} is {kind}, which cannot tell times {keys.say_length(grid)} apart; "
            f"choose a grid of whole multiples of {keys.say_length(unit)}"
        )
