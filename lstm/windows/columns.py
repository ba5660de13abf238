"""Columns of a table as the arrays that windows are made of: entity, time, features.

Times become int64 microseconds since 1970 UTC (a timestamp without a zone is taken as UTC); integers stay the
ordinals they are. Features become float32, null becomes NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lstm.windows.errors import MissingColumn, MissingValues, WindowError, WrongColumnType

_FLOAT = pa.float32()
_TIMESTAMP = pa.timestamp("us")
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        WindowError: a gap or a grid that is not positive, or a duration where times are ordinals; a grid that
            is longer than the gap, or finer than the times are.
    """
    if entity is not None:
        kind = _column(schema, entity).type
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_integer(value) or is_text(value)):
            raise WrongColumnType(
                f"column {entity!r} is {kind}, but entities must be integers or text; "
                "choose another entity column"
            )
    kind = _column(schema, time).type
    ordinal = pa.types.is_integer(kind)
    if not (ordinal or pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise WrongColumnType(
            f"column {time!r} is {kind}, but times must be timestamps, dates or integers; "
            "convert it when the table is written, or choose another time column"
        )
    gap, step = _length("max_gap", max_gap, ordinal), _length("grid", grid, ordinal)
    keys = Keys(entity, time, ordinal, gap, grid=step)
    if step is not None:
        _check_grid(keys, step, kind)
    return keys


def check_features(schema: pa.Schema, columns: list[str]) -> None:
    """Check that columns are there and are numbers.

    Raises:
        MissingColumn: there is no such column.
        WrongColumnType: a column holds no numbers.
    """
    for name in columns:
        kind = _column(schema, name).type
        if not is_number(kind):
            raise WrongColumnType(f"column {name!r} is {kind}, but features must be numbers or booleans")


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type can be a feature: numbers and booleans."""
    types = pa.types
    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
    )


def times_of(column: pa.ChunkedArray[Any], name: str) -> NDArray[np.int64]:
    """[n] times of a column without nulls.

    Raises:
        WrongColumnType: times finer than a microsecond, or integers beyond 63 bits.
    """
    try:
        if column.type.id == _TIMESTAMP.id and column.type.unit == "us" and column.num_chunks == 1:
            return _numpy(column.chunk(0).view(pa.int64()), np.int64)  # the same bits, without a copy
        if not pa.types.is_integer(column.type):
            column = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)))
        return _numpy(column.cast(pa.int64()), np.int64)
    except pa.ArrowInvalid as error:
        raise WrongColumnType(
            f"times of column {name!r} ({column.type}) must be whole microseconds that fit 64 bits: {error}"
        ) from None


def nulls_of(column: pa.ChunkedArray[Any]) -> int:
    """Rows without a value, those included that point to a null among the values of a dictionary."""
    if pa.types.is_dictionary(column.type):
        return int(pc.sum(pc.is_null(column)).as_py() or 0)
    return int(column.null_count)


def entities_of(column: pa.ChunkedArray[Any], name: str) -> tuple[NDArray[np.int64], list[Any]]:
    """Codes [n] of a column without nulls, and the value that each code stands for.

    Raises:
        WrongColumnType: integers beyond 63 bits.
    """
    if pa.types.is_dictionary(column.type):  # its values may hold some twice, and some that no row has
        encoded = column.unify_dictionaries().combine_chunks()
        used, place = np.unique(_numpy(encoded.indices.cast(pa.int64()), np.int64), return_inverse=True)
        values = pa.chunked_array([encoded.dictionary.take(pa.array(used))])
        code, entities = entities_of(values, name)
        return code[place], entities
    try:
        column = column.cast(pa.int64() if pa.types.is_integer(column.type) else pa.large_string())
    except pa.ArrowInvalid as error:
        raise WrongColumnType(f"entities of column {name!r} must fit 64 bits with a sign: {error}") from None
    encoded = column.combine_chunks().dictionary_encode()
    return _numpy(encoded.indices.cast(pa.int64()), np.int64), encoded.dictionary.to_pylist()


def lists_of(column: pa.ChunkedArray[Any], name: str, width: int) -> NDArray[np.float32]:
    """[n rows, width] of a column of lists of numbers; a null list, or a null in one, becomes NaN.

    Raises:
        WrongColumnType: a list has another length.
    """
    lists = column.combine_chunks()
    there = np.asarray(lists.is_valid().to_numpy(zero_copy_only=False))
    lengths = np.asarray(pc.list_value_length(lists).fill_null(width).to_numpy(zero_copy_only=False))
    if (wrong := np.flatnonzero(lengths != width)).size:
        raise WrongColumnType(
            f"column {name!r} holds {len(wrong)} lists in one row group that are not of {width} numbers, the "
            f"first of {lengths[wrong[0]]} in row {wrong[0]}; write lists of one length, padded, or give "
            "their true width"
        )
    flat = pc.list_flatten(lists).cast(pa.float32(), safe=False)
    values = np.full((len(lists), width), np.nan, np.float32)
    values[there] = _numpy(flat.fill_null(pa.scalar(float("nan"), pa.float32())), np.float32).reshape(
        -1, width
    )
    return values


def token_ids(column: pa.ChunkedArray[Any], name: str, *, refuse: bool = False) -> NDArray[np.int32]:
    """[n] integers as their own ids; null becomes 0, unless it is to be refused.

    Raises:
        WrongColumnType: one is negative, or beyond 31 bits.
        MissingValues: one is null.
    """
    if refuse and column.null_count:
        row = int(np.argmax(_numpy(column.is_null(), np.bool_)))
        raise MissingValues(
            f"column {name!r} has no value in {column.null_count} of the {len(column)} rows of a row group, "
            f"the first in row {row}, and 0 is a token too; write tokens there, or give the column a policy: "
            f"Column(name={name!r}, kind='token', nulls='mask') makes them 0, 'drop_window' leaves out the "
            "windows that hold one"
        )
    try:
        ids = _numpy(column.cast(pa.int32()).fill_null(0), np.int32)
    except pa.ArrowInvalid as error:
        raise WrongColumnType(f"tokens of column {name!r} must fit 32 bits with a sign: {error}") from None
    if len(ids) and int(ids.min()) < 0:
        raise WrongColumnType(
            f"column {name!r} holds the token {int(ids.min())}, but tokens count from 0; make it a category"
        )
    return ids


def list_value(kind: pa.DataType) -> pa.DataType | None:
    """What a list type is a list of; None: it is no list."""
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        value: pa.DataType = kind.value_type
        return value
    return None


def column_type(schema: pa.Schema, name: str) -> pa.DataType:
    """The type of a column.

    Raises:
        MissingColumn: there is no such column.
    """
    return _column(schema, name).type


def features_of(table: pa.Table, columns: list[str]) -> NDArray[np.float32]:
    """[n rows, F features], contiguous, of the named columns (numbers, or lists of one); null becomes NaN."""
    values = np.empty((table.num_rows, len(columns)), np.float32)
    for place, name in enumerate(columns):
        column = table.column(name)
        if list_value(column.type) is not None:
            values[:, place] = lists_of(column, name, 1)[:, 0]
            continue
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        # safe=False: rounding to float32 is what a feature is for.
        if column.type != _FLOAT:
            column = column.cast(_FLOAT, safe=False)
        if column.null_count:
            column = column.fill_null(pa.scalar(float("nan"), pa.float32()))
        values[:, place] = _numpy(column, np.float32)
    return values


def _column(schema: pa.Schema, name: str) -> pa.Field[Any]:
    places = schema.get_all_field_indices(name)
    if len(places) != 1:
        raise MissingColumn(f"the table has no column {name!r}; it has: {', '.join(schema.names)}")
    return schema.field(places[0])


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


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _numpy(column: Any, dtype: type[np.generic]) -> NDArray[Any]:
    flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(flat.to_numpy(zero_copy_only=False), dtype)
