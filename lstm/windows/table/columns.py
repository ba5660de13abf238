"""Columns of a table as the arrays that windows are made of: entity, time, features.

Times become int64 microseconds since 1970 UTC (a timestamp without a zone is taken as UTC); integers stay the
ordinals they are. Features become float32, null becomes NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lstm.windows.errors import MissingColumn, MissingValues, WrongColumnType

_FLOAT = pa.float32()
_TIMESTAMP = pa.timestamp("us")


def check_features(schema: pa.Schema, columns: list[str]) -> None:
    """Check that columns are there and are numbers.

    Raises:
        MissingColumn: there is no such column.
        WrongColumnType: a column holds no numbers.
    """
    for name in columns:
        kind = column_type(schema, name)
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
    places = schema.get_all_field_indices(name)
    if len(places) != 1:
        raise MissingColumn(f"the table has no column {name!r}; it has: {', '.join(schema.names)}")
    return schema.field(places[0]).type


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


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _numpy(column: Any, dtype: type[np.generic]) -> NDArray[Any]:
    flat = column
    if isinstance(column, pa.ChunkedArray):  # to combine a single chunk would copy it
        flat = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return np.asarray(flat.to_numpy(zero_copy_only=False), dtype)
