"""What a Delta commit says of new files, and which tables may be written at all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from storage.tables.delta_schema import mapping_mode
from storage.tables.errors import UnsupportedTable
from storage.tables.parquet import leaves
from storage.tables.writing import unbounded

_WRITER_FEATURES = {
    "allowColumnDefaults",
    "appendOnly",
    "changeDataFeed",
    "checkConstraints",
    "clustering",
    "columnMapping",
    "deletionVectors",
    "domainMetadata",
    "generatedColumns",
    "identityColumns",
    "invariants",
    "timestampNtz",
    "typeWidening",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "variantType",
}
"""Those that ask nothing of an append, if `refuse_writing` finds nothing else."""
_IN_SCHEMA = {
    "delta.generationExpression": "generated columns",
    "delta.identity.": "identity columns",
    "delta.invariants": "column invariants",
    "CURRENT_DEFAULT": "column defaults",
}
_TEXT = 64
"""Characters of a bound; longer ones are cut (minimum) or left out (maximum)."""


def refuse_writing(
    table: str,
    schema: str,
    configuration: Mapping[str, str],
    partitions: Sequence[str],
    features: Iterable[str],
) -> None:
    """Refuse tables whose writers must do what is not done here.

    Raises:
        UnsupportedTable: names the features; the table can still be read.
    """
    found = [f"the feature {name}" for name in sorted(set(features) - _WRITER_FEATURES)]
    found += [what for mark, what in _IN_SCHEMA.items() if mark in schema]
    if partitions:
        found.append(f"partitions by {', '.join(partitions)}")
    if any(name.startswith("delta.constraints.") for name in configuration):
        found.append("CHECK constraints")
    if mapping_mode(configuration) != "none":
        found.append("column mapping")
    if found:
        raise UnsupportedTable(
            f"{table} can be read but not written here, because it has {', '.join(found)}; append with "
            f"the engine that made it"
        )


def statistics(rows: pa.Table, metadata: pq.FileMetaData) -> str:
    """The statistics of a new file, as JSON for its `add` action.

    Args:
        rows: what the file holds.
        metadata: its footer.
    """
    nulls: dict[str, int] = {}
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    beyond = unbounded(metadata)
    for name, values in zip(rows.schema.names, rows.columns, strict=True):
        if types.is_nested(values.type):
            continue
        nulls[name] = values.null_count
        # Engines disagree on whether a maximum counts NaN, so a column with one has no bounds.
        if types.is_floating(values.type) and pc.any(pc.is_nan(values)).as_py():
            continue
        bounds = None if name in beyond else _bounds(metadata, rows.schema.names.index(name), rows.schema)
        if bounds is not None:
            _set(low, name, bounds[0], is_max=False)
            _set(high, name, bounds[1], is_max=True)
    return json.dumps({"numRecords": rows.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls})


def _bounds(metadata: pq.FileMetaData, position: int, schema: pa.Schema) -> tuple[Any, Any] | None:
    leaf = sum(leaves(schema.field(before).type) for before in range(position))
    found = [metadata.row_group(group).column(leaf).statistics for group in range(metadata.num_row_groups)]
    known = [it for it in found if it is not None and it.has_min_max]
    if not known or any(it is None or not (it.has_min_max or it.num_values == 0) for it in found):
        return None
    return min(it.min for it in known), max(it.max for it in known)


def _set(bounds: dict[str, Any], name: str, value: Any, *, is_max: bool) -> None:
    if isinstance(value, str):
        if is_max and len(value) > _TEXT:
            return
        value = value[:_TEXT]
    elif isinstance(value, datetime):
        value = _text(value)
    elif isinstance(value, date):
        value = value.isoformat()
    elif isinstance(value, Decimal):
        number = float(value)  # JSON has no decimals, but a number's digits may be a decimal's
        value = number if Decimal(repr(number)) == value else None
    elif isinstance(value, float) and not math.isfinite(value):
        return  # JSON has no infinities
    elif not isinstance(value, (bool, int, float)):
        return
    if value is not None:
        bounds[name] = value


def _text(moment: datetime) -> str:
    text = moment.replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{text}Z" if moment.tzinfo is not None else text


def milliseconds_now() -> int:
    """Now, as the log counts time."""
    return int(datetime.now(UTC).timestamp() * 1000)
