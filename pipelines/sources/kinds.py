"""Types of columns: those of files, and those that every table format holds."""

import pyarrow as pa

from pipelines.sources.clock_text import INSTANT, NAIVE


def is_number(type_: pa.DataType) -> bool:
    """Whether a column of that type holds numbers."""
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def plain(type_: pa.DataType) -> pa.DataType:
    """The type of those which every table format holds that keeps all values of `type_`."""
    types = pa.types
    if types.is_dictionary(type_):
        return plain(type_.value_type)
    if types.is_int8(type_) or types.is_int16(type_) or types.is_uint8(type_) or types.is_uint16(type_):
        return pa.int32()
    if types.is_integer(type_) and not types.is_int32(type_):
        return pa.int64()
    if types.is_float16(type_):
        return pa.float32()
    if types.is_timestamp(type_):
        return NAIVE if type_.tz is None else INSTANT
    if types.is_large_string(type_) or types.is_string_view(type_):
        return pa.string()
    return pa.date32() if types.is_date(type_) else type_
