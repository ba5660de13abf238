"""Tables in memory to derive runs from, and what deriving says of them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from pipelines.derive.choose import Choice, choose
from pipelines.derive.reasons import Reasons
from pipelines.derive.request import Request

from ...lstm.windows.memory_table import MemorySnapshot

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class MemoryTable:
    """A table of one snapshot."""

    format = "delta"

    def __init__(self, rows: pa.Table, group_rows: int = 5000, **properties: str) -> None:
        groups = [rows.slice(start, group_rows) for start in range(0, max(1, rows.num_rows), group_rows)]
        self._snapshot = MemorySnapshot([groups])
        self.properties = {f"carousel.{name}": value for name, value in properties.items()}

    def snapshot(self):
        return self._snapshot


def moments(rows: int, step: timedelta = HOUR, start: datetime = START) -> pa.Array:
    first = np.datetime64(start.replace(tzinfo=None), "us")
    return pa.array(first + np.arange(rows) * np.timedelta64(step)).cast(pa.timestamp("us", "UTC"))


def wave(rows: int, period: float, noise: float = 0.1, seed: int = 3) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.sin(np.arange(rows) * 2 * np.pi / period) + noise * random.standard_normal(rows)


def hourly(rows: int = 2000, period: float = 24, **columns) -> pa.Table:
    """One series of hours."""
    return pa.table({"when": moments(rows), **columns, "load": wave(rows, period)})


def panel(series: int, rows: int, step: timedelta = HOUR, period: float = 24, **columns) -> pa.Table:
    """Several series of the same times."""
    times = moments(rows, step)
    return pa.table(
        {
            "id": pa.array([f"s{n:06d}" for n in range(series) for _ in range(rows)]),
            "when": pa.chunked_array([times] * series),
            **columns,
            "load": np.concatenate([wave(rows, period, seed=n) for n in range(series)]),
        }
    )


def derived(table: MemoryTable | pa.Table, **wishes) -> tuple[Choice, Reasons]:
    """What is chosen, and why."""
    reasons = Reasons()
    source = MemoryTable(table) if isinstance(table, pa.Table) else table
    return choose(source, Request(**wishes), None, reasons), reasons
