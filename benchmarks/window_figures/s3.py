"""A cold epoch beside GETs and decode of the same row groups."""

import mmap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.counted import counted_gets
from benchmarks.window_figures.medians import medians
from benchmarks.window_figures.table import plan_of, tensors
from benchmarks.window_peers.rows import BATCH, COLUMNS, FEATURES, LENGTH
from lstm.windows import WindowReader, WindowStream
from storage.objects import Bucket
from storage.tables import Snapshot


@dataclass(frozen=True)
class _Group:
    """A row group and where its columns lie."""

    key: str
    size: int
    footer: bytes
    number: int
    start: int
    length: int

    def rows(self, bucket: Bucket) -> int:
        """GET, decode, lay out as float32; how many there were."""
        file = mmap.mmap(-1, self.size)  # nothing but what is written below takes memory or time
        file[self.size - len(self.footer) :] = self.footer
        file[self.start : self.start + self.length] = bucket.get_range(self.key, self.start, self.length)
        parquet = pq.ParquetFile(pa.BufferReader(file))
        table = parquet.read_row_group(self.number, [*COLUMNS, "time"], use_threads=False)
        values = np.empty((table.num_rows, FEATURES), np.float32)
        for place, name in enumerate(COLUMNS):
            values[:, place] = table.column(name).to_numpy()
        return len(values)


def _row_groups(bucket: Bucket, snapshot: Snapshot) -> Iterator[_Group]:
    for file in snapshot.files:
        key = file.path.split("/", 3)[3]
        whole = bucket.get(key).data
        footer = int.from_bytes(whole[-8:-4], "little") + 8
        parquet = pq.ParquetFile(pa.BufferReader(whole)).metadata
        for number in range(parquet.num_row_groups):
            group = parquet.row_group(number)
            chunks = [group.column(place) for place in range(group.num_columns)]
            asked = [it for it in chunks if it.path_in_schema in (*COLUMNS, "time")]
            firsts = [it.dictionary_page_offset or it.data_page_offset for it in asked]
            ends = [at + it.total_compressed_size for at, it in zip(firsts, asked, strict=True)]
            start = min(firsts)
            yield _Group(key, len(whole), bytes(whole[-footer:]), number, start, max(ends) - start)


def from_s3(bucket: Bucket, snapshot: Snapshot, pairs: int) -> dict[str, float]:
    """A cold epoch beside GETs and decode of the same row groups, by as many threads as load blocks."""
    plan, found = plan_of(snapshot, LENGTH), []
    groups = list(_row_groups(bucket, snapshot))
    for _ in range(pairs):
        began = time.perf_counter()
        with ThreadPoolExecutor(2) as threads:
            count = sum(threads.map(lambda group: group.rows(bucket), groups))
        bare_s = time.perf_counter() - began
        before = snapshot.traffic
        reader = WindowReader(snapshot, plan, COLUMNS, 2 << 30)
        began = time.perf_counter()
        stream = WindowStream(plan, reader, "train", seed=0, batch_size=BATCH, ordered=True)
        with stream, counted_gets() as gets:
            for batch in tensors(stream):
                del batch
        ours_s = time.perf_counter() - began
        fetched = snapshot.traffic.fetched - before.fetched
        found.append(
            {
                "s3_over_bare_get_decode": bare_s / ours_s,
                "s3_rows_per_s": count / ours_s,
                "s3_gets": gets.count,
                "s3_mb": fetched / 1e6,
                "read_amplification_excess": fetched / (snapshot.traffic.needed - before.needed) - 1,
            }
        )
    return {**medians(found), "s3_row_groups": len(groups)}
