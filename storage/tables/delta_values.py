"""Values that a Delta log holds as text: statistics of files, and partition values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import types

from storage.tables.columns import Column
from storage.tables.errors import UnsupportedTable
from storage.tables.file_statistics import FileStatistics
from storage.tables.protocol import ColumnStatistics

Parsed = Mapping[str, Any]
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def parse_statistics(stats: str | Parsed | None) -> Parsed:
    """The statistics of a file as the log or a checkpoint holds them; numbers with a point stay text."""
    if stats is None or stats == "":
        return {}
    if isinstance(stats, str):
        parsed: Parsed = json.loads(stats, parse_float=str)
        return parsed
    return stats


@dataclass(frozen=True, slots=True)
class DeltaStatistics(FileStatistics):
    """What a log, or a checkpoint of it, holds of one file."""

    columns: Sequence[Column]
    stats: str | Parsed | None

    def decoded(self) -> dict[str, ColumnStatistics]:
        """Those columns whose bounds or nulls it names."""
        parsed = parse_statistics(self.stats)
        low, high = parsed.get("minValues") or {}, parsed.get("maxValues") or {}
        nulls = parsed.get("nullCount") or {}
        found = {}
        for column in self.columns:
            key = column.physical
            if column.children or not (key in low or key in high or key in nulls):
                continue
            found[column.name] = ColumnStatistics(
                _bound(low.get(key), column.type),
                _bound(high.get(key), column.type, is_max=True),
                nulls.get(key),
            )
        return found


def _bound(value: Any, type_: pa.DataType, *, is_max: bool = False) -> Any:
    """A bound as Python's value; None if it is not known (or not understood: bounds are only hints)."""
    if value is None:
        return None
    try:
        bound = _parse(value, type_)
    except (ValueError, TypeError, ArithmeticError):
        return None
    if isinstance(bound, float):
        if math.isnan(bound):
            return None
        # The shortest text of a float32 may lie on either side of its value.
        near = float(np.float32(bound)) if abs(bound) < _FLOAT32_MAX else bound
        return max(bound, near) if is_max else min(bound, near)
    if is_max and isinstance(bound, datetime) and bound.microsecond % 1000 == 0:
        return bound + timedelta(microseconds=999)  # Spark cuts to milliseconds
    return bound


_PARSERS: list[tuple[Callable[[pa.DataType], bool], Callable[[Any], Any]]] = [
    (types.is_integer, int),
    (types.is_floating, float),
    (types.is_decimal, lambda value: Decimal(str(value))),
    (types.is_date, lambda value: value if isinstance(value, date) else date.fromisoformat(value)),
    (types.is_string, str),
]


def _parse(value: Any, type_: pa.DataType) -> Any:
    if types.is_timestamp(type_):
        moment = value if isinstance(value, datetime) else _moment(value)
        return _zoned(moment, type_)
    if types.is_boolean(type_):
        return value if isinstance(value, bool) else {"true": True, "false": False}[value.lower()]
    for fits, parse in _PARSERS:
        if fits(type_):
            return parse(value)
    return None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.strip())


def _zoned(moment: datetime, type_: pa.DataType) -> datetime:
    if type_.tz is None:
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def partition_value(text: str | None, column: Column) -> object:
    """Parse a partition value; empty text is null.

    Source: *Partition Value Serialization* in Delta's PROTOCOL.md. Timestamps without a zone are UTC.

    Raises:
        UnsupportedTable: the text is no value of the column's type.
    """
    if text is None or text == "":
        return None
    if types.is_binary(column.type):
        return text.encode("utf-8")
    try:
        value = _parse(text, column.type)
    except (ValueError, TypeError, ArithmeticError, KeyError) as error:
        raise _unreadable(text, column) from error
    if value is None:
        raise _unreadable(text, column)
    return value


def _unreadable(text: str, column: Column) -> UnsupportedTable:
    return UnsupportedTable(f"the partition value {text!r} of column {column.name!r} is no {column.type}")
