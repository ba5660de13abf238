"""How fast do windows of a table come, beside the memory they come from and beside other libraries?

    python -m benchmarks.windows [--quick] [--setup] [--pairs N]

Windows of 96 + 24 rows of 7 float32 columns, batches of 256, shuffled, one thread for PyTorch. Whatever is
compared runs in alternating pairs in one process; figures are medians of the pairs' ratios (5 at least; with
`--quick` 3, and 1 beside peers), so that a machine that grows slower does so for both. `load` is the
machine's when it ended: on a machine of 2 cores it should be below 2. Where windows start one row apart and
where they start a horizon apart, figures end in `_stride_1` and `_stride_horizon`; the smaller is the figure
without it.

The allocator is set as training sets it for its ranks, for peers and the bare loop too.

- `gather_over_memcpy`: bytes per second of gathering whole batches ÷ of copying as many into memory that
  was touched before
- `windows_over_bare_gather`: our stream from a Delta table on the embedded S3 server, after an epoch that
  filled its cache, up to tensors ÷ `window_peers.rows.bare`, a loop that gathers from one array in memory;
  `..._on_core` compares processor time of the whole process, loaders included, which others' work disturbs
  less; `..._cold` is that first epoch, in which the table is read by `gets_cold` GETs of `mb_cold` MB
- `windows_over_best_peer`, `windows_over_window_libraries`: (ours ÷ bare loop) ÷ (peer ÷ bare loop) of
  whole passes over the same, smaller tables (as many windows at both strides), warm, each in its own process
  and environment: the best of {DataLoader as people write it, Hugging Face, Darts, neuralforecast}, and of
  {pytorch-forecasting, GluonTS, mosaicml-streaming}. A DataLoader with `__getitems__` is shown beside them
  (`windows_over_dataloader_getitems`). Peers have the rows in memory (mosaicml-streaming: its samples on
  disk). Each peer's windows are proven to be ours, as a multiset; a peer that is not there is told as
  `absent`, with the reason, and is in no figure
- `s3_over_bare_get_decode`: a cold epoch of windows that do not overlap (stride 120) ÷ parallel ranged GETs
  of the same row groups' bytes, each decoded by pyarrow to float32 as it comes; rows per second.
  `s3_gets` and `s3_mb` are what that epoch asked for; `read_amplification_excess`: bytes fetched in it ÷
  bytes of the needed column chunks − 1
- `entities_over_uniform`: distinct series per batch at the default pool ÷ of a uniform shuffle
"""

import argparse
import mmap
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from benchmarks.counted import counted_gets
from benchmarks.report import Peak, print_result
from benchmarks.window_peers import setup
from benchmarks.window_peers.compare import over_peers, peer
from benchmarks.window_peers.measure import PEERS, STRIDES, beside_bare, peers_rows
from benchmarks.window_peers.rows import (
    BATCH,
    COLUMNS,
    CONTEXT,
    FEATURES,
    HORIZON,
    LENGTH,
    Rows,
    bare,
    make_rows,
    proof,
)
from lstm.training.launch import ALLOCATOR
from lstm.windows import (
    OrderSpec,
    Plan,
    SplitSpec,
    WindowReader,
    WindowSpec,
    WindowStream,
    index_snapshot,
    make_plan,
)
from lstm.windows.gather import Windows
from lstm.windows.schedule import Schedule
from storage.local import LocalServer
from storage.objects import Bucket
from storage.tables import Lake, Snapshot, create_table, lake_for

COUNTS = {"gets_cold", "mb_cold"}
"""Not better when larger."""
HOUR_US = 3_600_000_000


def table_of(lake: Lake, uri: str, rows: Rows, row_group_rows: int) -> Snapshot:
    """The rows as a Delta table, sorted by series and time."""
    series, count, _ = rows.values.shape
    flat = rows.values.reshape(-1, FEATURES)
    columns: dict[str, Any] = {
        "entity": pa.array(np.repeat(np.arange(series), count)),
        "time": pa.array(np.tile(np.arange(count), series) * HOUR_US, pa.timestamp("us", "UTC")),
        **{name: pa.array(flat[:, number]) for number, name in enumerate(COLUMNS)},
    }
    content = pa.table(columns)
    table = create_table(lake, uri, content.schema, format="delta", row_group_rows=row_group_rows)
    table.append(content, transaction="all")
    return table.snapshot()


def in_trainings_memory(module: str) -> None:
    """Start over with the allocator's settings of training's ranks; glibc reads them when it starts."""
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        sys.stdout.flush()
        command = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ALLOCATOR})


def plan_of(snapshot: Snapshot, stride: int, lanes: int = 48) -> Plan:
    """All windows are training windows."""
    return make_plan(
        index_snapshot(snapshot, entity="entity", time="time"),
        WindowSpec(context=CONTEXT, horizon=HORIZON, stride=stride),
        SplitSpec(validation=0, test=0),
        OrderSpec(lanes=lanes),
    )


def tensors(stream: WindowStream) -> Iterator[torch.Tensor]:
    """An epoch."""
    for batch in stream:
        yield torch.from_numpy(batch.values)


def speed(batches: Iterator[torch.Tensor], clock: Callable[[], float] = time.perf_counter) -> float:
    """Windows per second, after the first batch."""
    next(batches)
    began, count = clock(), 0
    for batch in batches:
        count += len(batch)
    return count / (clock() - began)


def gather_over_memcpy(rows: NDArray[np.float32], pairs: int) -> float:
    """Bandwidth of gathering ÷ of copying the same number of bytes, one thread."""
    windows, random = Windows(rows, LENGTH), np.random.default_rng(0)
    starts = [random.integers(0, len(rows) - LENGTH, BATCH) for _ in range(200)]
    size = BATCH * LENGTH
    froms = [rows[(at := int(start[0] % (len(rows) - size))) : at + size] for start in starts]
    touched, ratios = np.ones((size, FEATURES), np.float32), []
    for _ in range(pairs):
        began = time.perf_counter()
        for source in froms:
            np.copyto(touched, source)
        copied = time.perf_counter()
        for start in starts:
            windows.gather(start)
        ratios.append((copied - began) / (time.perf_counter() - copied))
    return statistics.median(ratios)


def over_bare(snapshot: Snapshot, rows: Rows, pairs: int) -> dict[str, float]:
    """Our stream beside the bare loop: its first epoch, which reads the table, and one after that."""
    plan, found = plan_of(snapshot, rows.stride), []
    for seed in range(pairs):
        began = time.process_time(), time.perf_counter()
        base = speed(bare(rows, seed))
        base_core = time.process_time() - began[0]
        reader, before = WindowReader(snapshot, plan, COLUMNS, 2 << 30), snapshot.traffic.fetched
        with WindowStream(plan, reader, "train", seed=seed, batch_size=BATCH) as stream:
            with counted_gets() as gets:
                opened = time.perf_counter()
                cold = sum(map(len, tensors(stream))) / (time.perf_counter() - opened)
            fetched, core = snapshot.traffic.fetched - before, time.process_time()
            ours = speed(tensors(stream))
            core = time.process_time() - core
        found.append(
            {
                "windows_over_bare_gather": ours / base,
                "windows_over_bare_gather_on_core": base_core / core,
                "windows_over_bare_gather_cold": cold / base,
                "windows_per_s": ours,
                "gets_cold": gets.count,
                "mb_cold": fetched / 1e6,
            }
        )
    return medians(found)


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure."""
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def both(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """Figures of each stride, and the smaller one of those that both have."""
    names = set.intersection(*(set(figures) for figures in found.values()))
    return {
        **{f"{name}_{label}": value for label, figures in found.items() for name, value in figures.items()},
        **{name: min(figures[name] for figures in found.values()) for name in sorted(names - COUNTS)},
    }


def on_peers_rows(snapshot: Snapshot, rows: Rows, pairs: int) -> dict[str, Any]:
    """Our stream, warm, as `window_peers.measure` measures peers."""
    plan = plan_of(snapshot, rows.stride)
    reader = WindowReader(snapshot, plan, COLUMNS, 2 << 30)
    with WindowStream(plan, reader, "train", seed=0, batch_size=BATCH) as stream:
        proven = proof(tensors(stream))
        return {"proof": proven, **beside_bare(lambda: tensors(stream), rows, pairs)}


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


def mixing(snapshot: Snapshot, stride: int, most: int) -> float:
    """Distinct series per batch ÷ those of as many windows drawn uniformly without replacement."""
    plan = plan_of(snapshot, stride)
    windows, segments = plan.split_windows("train"), plan.segments
    schedule = Schedule(plan, "train", seed=0, batch_size=BATCH, rank=0, ranks=1, shuffled=True)
    order, total = schedule.order(0), windows.total
    numbers = np.empty(total, np.int64)
    merged = order.merge(0, total)
    for lane in range(plan.order.lanes):
        inside = [order.pool_windows(lane, pool) for pool in range(order.pools(lane))]
        if inside:
            numbers[merged.lanes == lane] = np.concatenate(inside)
    logical = windows.locate(numbers)[2]
    series = np.searchsorted(segments.series_first, logical, side="right") - 1
    batches = np.linspace(0, total // BATCH - 1, min(most, total // BATCH)).astype(int)

    def distinct(of: NDArray[np.int64]) -> float:
        return statistics.mean(len(np.unique(of[k * BATCH : (k + 1) * BATCH])) for k in batches)

    return distinct(series) / distinct(np.random.default_rng(0).permutation(series))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--setup", action="store_true", help="install peers below .bench first")
    parser.add_argument("--pairs", type=int)
    asked = parser.parse_args()
    in_trainings_memory("benchmarks.windows")
    if asked.setup:
        setup.install()
    torch.set_num_threads(1)
    pairs = asked.pairs or (3 if asked.quick else 5)
    series = 20 if asked.quick else 200
    small = (10, 500) if asked.quick else (20, 5000)
    peak, rows = Peak(), {label: make_rows(series, 10_000, stride) for label, stride in STRIDES.items()}
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = LocalServer.start(Path(folder), die_with_parent=True)
        try:
            bucket = Bucket("lake", server.access)
            bucket.create()
            lake = lake_for(server)
            values = rows["stride_1"]
            snapshot = table_of(lake, "s3://lake/large", values, 4096)
            figures["gather_over_memcpy"] = gather_over_memcpy(values.values.reshape(-1, FEATURES), pairs)
            figures |= both({label: over_bare(snapshot, rows[label], pairs) for label in STRIDES})
            _show(figures)
            ours = {}
            for label, stride in STRIDES.items():
                fewer = peers_rows(*small, stride)
                few = table_of(lake, f"s3://lake/{label}", fewer, 4096)
                ours[label] = on_peers_rows(few, fewer, pairs)
            figures |= from_s3(bucket, table_of(lake, "s3://lake/cold", values, 65536), pairs)
            entities = {label: mixing(snapshot, stride, 400) for label, stride in STRIDES.items()}
            figures |= both({label: {"entities_over_uniform": it} for label, it in entities.items()})
            peak.sample()
            _show(figures)
        finally:
            server.stop()
    peers = {name: peer(name, *small, 1 if asked.quick else pairs) for name in PEERS}
    for found in peers.values():
        for label in STRIDES.keys() & found.keys():
            found[label]["same_windows"] = found[label].pop("proof") == list(ours[label]["proof"])
    figures |= both({label: over_peers(label, ours[label]["over_bare_gather"], peers) for label in STRIDES})
    load = os.getloadavg()[0]
    print_result(
        "windows",
        quick=asked.quick,
        figures={**figures, "pairs": pairs, "load": load, "peak_rss_mb": round(peak.mb, 1)},
        peers=peers,
    )


def _show(figures: dict[str, float]) -> None:
    print({name: round(value, 4) for name, value in figures.items()}, flush=True)


if __name__ == "__main__":
    main()
