"""A table of very many files, and the cached index of them, by a formula: every file holds all sensors.

File n has one row group, of rows n·200 … n·200 + 199 of each of 50 sensors, sorted by (sensor, time): the
usual layout of a table that grows by the hour. So 10⁶ files are 5·10⁷ pieces and 10¹⁰ rows. A read takes as
long as one request: a file of 100 kB comes whole, footer and column chunks (`storage.tables.parquet`).
"""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from lstm.windows.index.file_index import FileIndex
from lstm.windows.index.index_cache import LEVELS, Span, block_name, checksums, cut
from lstm.windows.table.keys import Keys
from storage.objects import NotFound, Object
from storage.tables.protocol import DataFile, Traffic

SENSORS, ROWS = 50, 200
"""In each file: sensors, and rows of each."""
STEP = timedelta(minutes=1)
"""Between two rows of a sensor."""
_REQUESTS = 1
_STEP_US = STEP // timedelta(microseconds=1)
_START_US = 1_600_000_000_000_000
_NAMES = [f"sensor-{number:02d}" for number in range(SENSORS)]


class SimulatedSnapshot:
    """A `Snapshot` of so many files."""

    id, table, format = "1", "s3://lake/sensors", "delta"
    schema = pa.schema(
        [("sensor", pa.string()), ("time", pa.timestamp("us", "UTC")), ("value", pa.float32())]
    )
    created = datetime(2026, 1, 1, tzinfo=UTC)
    traffic = Traffic(0, 0)

    def __init__(self, files: int, latency_s: float) -> None:
        self.files = tuple(_file(number) for number in range(files))
        self.requests = 0
        """So far."""
        self._latency_s, self._lock = latency_s, threading.Lock()
        self._values = pa.array(np.random.default_rng(0).standard_normal(SENSORS * ROWS).astype(np.float32))
        self._sensors = pa.array(np.repeat(_NAMES, ROWS))

    def column_identity(self, column: str) -> str:
        """See `Snapshot`."""
        return column

    def row_groups(self, file: DataFile) -> tuple[int, ...]:
        """See `Snapshot`."""
        return (SENSORS * ROWS,)

    def read(
        self, file: DataFile, row_group: int, columns: Sequence[str], rows: tuple[int, int] | None = None
    ) -> pa.Table:
        """See `Snapshot`."""
        with self._lock:
            self.requests += _REQUESTS
        time.sleep(_REQUESTS * self._latency_s)
        number = int(file.path.rpartition("-")[2].partition(".")[0])
        times = _START_US + (number * ROWS + np.arange(ROWS)) * _STEP_US
        table = pa.table(
            [
                self._sensors,
                pa.array(np.tile(times, SENSORS)).cast(self.schema.field("time").type),
                self._values,
            ],
            schema=self.schema,
        )
        return table.select(list(columns))[slice(*(rows or (None, None)))]

    def page_rows(self, file: DataFile, row_group: int, columns: Sequence[str]) -> int | None:
        """None: files without a page index."""
        return None


class CachedIndex:
    """As much of a bucket as holds the index of a snapshot that was indexed before."""

    def __init__(self, snapshot: SimulatedSnapshot, keys: Keys, latency_s: float) -> None:
        self.requests = 0
        """GETs so far."""
        self._latency_s, self._lock = latency_s, threading.Lock()
        sums = checksums(snapshot)
        spans: list[Span] = [(0, len(sums))]
        self._objects: dict[str, bytes] = {}
        for level in LEVELS:
            blocks, spans = cut(spans, sums % level == 0)
            for span in blocks:
                self._objects[block_name(snapshot, span, keys)] = _index(span).to_bytes()
        # What is left are single files, by the dozen; they are scanned, as files that were just added are.

    def get(self, key: str, limit: int | None = None) -> Object:
        """See `Bucket`."""
        with self._lock:
            self.requests += 1
        time.sleep(self._latency_s)
        name = key.rpartition("/")[2]
        if name not in self._objects:
            raise NotFound(key)
        return Object(self._objects[name], "")

    def put(self, key: str, data: bytes | memoryview) -> str:
        """See `Bucket`."""
        time.sleep(self._latency_s)
        return ""


def _file(number: int) -> DataFile:
    path = f"s3://lake/sensors/part-{number:08d}.parquet"
    return DataFile(identity=f"{path}@1", path=path, rows=SENSORS * ROWS, size=100_000)


def _index(span: Span) -> FileIndex:
    files = span[1] - span[0]
    first = _START_US + np.repeat(np.arange(*span, dtype=np.int64), SENSORS) * (ROWS * _STEP_US)
    return FileIndex(
        file_groups=np.ones(files, np.int64),
        group_rows=np.full(files, SENSORS * ROWS),
        entities=list(_NAMES),
        entity=np.tile(np.arange(SENSORS, dtype=np.int32), files),
        rows=np.full(files * SENSORS, ROWS, np.int32),
        first_time=first,
        last_time=first + (ROWS - 1) * _STEP_US,
        regular=np.ones(files * SENSORS, np.bool_),
        steps={_STEP_US: files * SENSORS * (ROWS - 1)},
    )
