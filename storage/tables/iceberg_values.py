"""Values that Iceberg's manifests hold as bytes and numbers: bounds of files, and partition values."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from pyiceberg import types
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile as ManifestFile
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform

from storage.tables.file_statistics import FileStatistics
from storage.tables.protocol import ColumnStatistics

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class IcebergStatistics(FileStatistics):
    """What a manifest holds of one file."""

    schema: Schema
    data: ManifestFile

    def decoded(self) -> dict[str, ColumnStatistics]:
        """Those columns whose bounds or nulls it names."""
        low, high = self.data.lower_bounds or {}, self.data.upper_bounds or {}
        nulls = self.data.null_value_counts or {}
        found = {}
        for field in self.schema.fields:
            key, type_ = field.field_id, field.field_type
            if not isinstance(type_, types.PrimitiveType) or not (key in low or key in high or key in nulls):
                continue
            found[field.name] = ColumnStatistics(
                _bound(low.get(key), type_), _bound(high.get(key), type_), nulls.get(key)
            )
        return found


def _bound(data: bytes | None, type_: types.PrimitiveType) -> Any:
    """A bound as Python's value; None if it is not known (or of a type the column had before)."""
    if data is None:
        return None
    try:
        value: Any = from_bytes(type_, data)
    except (struct.error, ValueError, TypeError):
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    try:
        return _python(value, type_)
    except (OverflowError, ValueError):
        return None  # Python's times end with the year 9999


def _python(value: Any, type_: types.PrimitiveType) -> Any:
    if isinstance(type_, types.DateType):
        return date.fromordinal(_EPOCH.toordinal() + value)
    if isinstance(type_, types.TimestampType):
        return _EPOCH + timedelta(microseconds=value)
    if isinstance(type_, types.TimestamptzType):
        return (_EPOCH + timedelta(microseconds=value)).replace(tzinfo=UTC)
    if isinstance(type_, (types.TimestampNanoType, types.TimestamptzNanoType, types.TimeType)):
        return None  # Python's types hold no nanoseconds
    return value


def identity_values(
    data: ManifestFile, specs: Mapping[int, PartitionSpec], fields: Sequence[types.NestedField]
) -> dict[str, object]:
    """Values of columns that partition a file as they are, for files that leave such columns out."""
    names = {field.field_id: field.name for field in fields}
    spec = specs[data.spec_id]
    values: dict[str, object] = {}
    for position, part in enumerate(spec.fields):
        if isinstance(part.transform, IdentityTransform) and part.source_id in names:
            value = data.partition[position]
            if value is not None:
                values[names[part.source_id]] = value.bytes if isinstance(value, UUID) else value
    return values
