"""Rows for tests: every type that both formats hold, with nulls, NaN and text that needs escaping."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa

from storage.tables.protocol import Snapshot, Table

UTC_US = pa.timestamp("us", "UTC")
HOUR = 3_600_000_000

SENSORS = pa.schema(
    [
        pa.field("entity", pa.string(), nullable=False),
        pa.field("time", UTC_US, nullable=False),
        pa.field("x", pa.float32()),
        pa.field("n", pa.int64()),
    ]
)
EVERY_TYPE = pa.schema(
    [
        *SENSORS,
        pa.field("small", pa.int32()),
        pa.field("wide", pa.float64()),
        pa.field("flag", pa.bool_()),
        pa.field("day", pa.date32()),
        pa.field("local", pa.timestamp("us")),
        pa.field("price", pa.decimal128(12, 4)),
        pa.field("raw", pa.binary()),
        pa.field("frame", pa.list_(pa.field("element", pa.float32()))),
        pa.field(
            "place",
            pa.struct(
                [pa.field("lat", pa.float64()), pa.field("tags", pa.list_(pa.field("element", pa.string())))]
            ),
        ),
    ]
)


def sensors(rows: int, first: int = 0) -> pa.Table:
    """Hours of sensors, 24 rows each, sorted by (entity, time)."""
    number = np.arange(first, first + rows)
    return pa.table(
        {
            "entity": [f"pump {it // 24:04d}" for it in number],
            "time": pa.array(number % 24 * HOUR, UTC_US),
            "x": pa.array(np.sin(number), pa.float32(), mask=number % 7 == 3),
            "n": pa.array(number, pa.int64()),
        },
        schema=SENSORS,
    )


def every_type(rows: int) -> pa.Table:
    """`sensors` and all other types; a null in each nullable column."""
    base = sensors(rows)
    number = range(rows)

    def some(values: Sequence[object], type_: pa.DataType, skip: int) -> pa.Array:
        return pa.array([None if i % 11 == skip else value for i, value in enumerate(values)], type_)

    fields = {it.name: it.type for it in EVERY_TYPE}
    more = {
        "small": [i - 5 for i in number],
        "wide": [float("nan") if i % 13 == 0 else i / 3 for i in number],
        "flag": [i % 3 == 0 for i in number],
        "day": [date(2013, 1, 1) + timedelta(days=i) for i in number],
        "local": [i * HOUR + 1 for i in number],
        "price": [Decimal(i * 10_001) / 10_000 for i in number],
        "raw": [bytes([i % 256, 0]) for i in number],
        "frame": [[float(j) for j in range(i % 4)] for i in number],
        "place": [{"lat": i / 7, "tags": ["ä b", None, f"%20{i}"][: i % 4]} for i in number],
    }
    columns = [some(values, fields[name], skip) for skip, (name, values) in enumerate(more.items())]
    return pa.Table.from_arrays([*base.columns, *columns], schema=EVERY_TYPE)


def read_all(snapshot: Snapshot, columns: Sequence[str] | None = None) -> pa.Table:
    """Every live row, in the snapshot's own order."""
    names = snapshot.schema.names if columns is None else list(columns)
    parts = [
        snapshot.read(file, group, names)
        for file in snapshot.files
        for group in range(len(snapshot.row_groups(file)))
    ]
    empty = pa.schema([snapshot.schema.field(name) for name in names]).empty_table()
    return pa.concat_tables([empty, *parts])


def count(table: Table) -> int:
    """Live rows of the newest snapshot, as its files say."""
    return sum(file.rows for file in table.snapshot().files)
