"""How fast do windows of a table come, beside the memory they come from and beside other libraries?

    python -m benchmarks.windows [--quick] [--setup] [--pairs N]

Windows of 96 + 24 rows of 7 float32 columns, batches of 256, shuffled, one thread for PyTorch. Whatever is
compared runs in alternating pairs in one process; figures are medians of the pairs' ratios (5 at least, 3
with `--quick`), so that a machine that grows slower does so for both. `load` is the machine's when it
ended: on a machine of 2 cores it should be below 2.

The allocator is set as training sets it for its ranks, for peers and the bare loop too.

- `gather_over_memcpy`: bytes per second of gathering whole batches ÷ of copying as many into memory that
  was touched before
- `windows_over_bare_gather`: our stream from a Delta table on the embedded S3 server, after an epoch that
  filled its cache, up to tensors ÷ `window_peers.rows.bare`, a loop that gathers from one array in memory;
  `..._on_core` compares processor time of the whole process, loaders included, which others' work disturbs
  less
- `windows_over_best_peer`, `windows_over_window_libraries`: (ours ÷ bare loop) ÷ (peer ÷ bare loop), each
  in its own process and environment: the best of {DataLoader as people write it, Hugging Face, Darts,
  neuralforecast}, and of {pytorch-forecasting, GluonTS, mosaicml-streaming}. A DataLoader with
  `__getitems__` is shown beside them (`windows_over_dataloader_getitems`). Each peer's windows are proven
  to be ours, as a multiset; a peer that is not there is told as `absent`, with the reason, and is in no
  figure
- `s3_over_bare_get_decode`: a cold epoch of windows that do not overlap (stride 120) ÷ parallel ranged GETs
  of the same row groups' bytes, each decoded by pyarrow to float32 as it comes; rows per second.
  `read_amplification_excess`: bytes fetched in that epoch ÷ bytes of the needed column chunks − 1
- `entities_over_uniform`, `..._stride_1`: distinct series per batch at the default pool ÷ of a uniform
  shuffle; the smaller of stride 1 and stride = horizon is the figure without a suffix
- `rank_load_2`, `_3`, `_8`, `_48`: windows of the most loaded rank of a batch ÷ the mean − 1, mean over
  batches
"""

import argparse
import json
import mmap
import os
import statistics
import subprocess
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

from benchmarks.report import Peak, print_result
from benchmarks.window_peers import setup
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

BEST_OF = ("dataloader", "huggingface", "darts", "neuralforecast")
LIBRARIES = ("pytorch_forecasting", "gluonts", "mosaicml_streaming")
MEASURED = ("dataloader", "dataloader_getitems", "huggingface", "darts", "pytorch_forecasting", "gluonts")
NOT_WRITTEN = {
    "neuralforecast": "makes windows inside its models and needs an adapter of its own; not measured yet",
    "mosaicml_streaming": "needs its samples written in its own format first; not measured yet",
}
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


def over_bare(snapshot: Snapshot, rows: Rows, pairs: int) -> tuple[dict[str, float], tuple[int, int]]:
    """Our stream beside the bare loop, warm, and the proof of its windows."""
    plan = plan_of(snapshot, rows.stride)
    reader = WindowReader(snapshot, plan, COLUMNS, 2 << 30)
    walls, cores, speeds = [], [], []
    with WindowStream(plan, reader, "train", seed=0, batch_size=BATCH) as stream:
        proven = proof(tensors(stream))
        for seed in range(pairs):
            began = time.process_time(), time.perf_counter()
            base = speed(bare(rows, seed))
            middle = time.process_time(), time.perf_counter()
            ours = speed(tensors(stream))
            cores.append((middle[0] - began[0]) / (time.process_time() - middle[0]))
            walls.append(ours / base)
            speeds.append(ours)
    return {
        "windows_over_bare_gather": statistics.median(walls),
        "windows_over_bare_gather_on_core": statistics.median(cores),
        "windows_per_s": round(statistics.median(speeds)),
    }, proven


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
    plan, ratios, excess, speeds = plan_of(snapshot, LENGTH), [], [], []
    groups = list(_row_groups(bucket, snapshot))
    for _ in range(pairs):
        began = time.perf_counter()
        with ThreadPoolExecutor(2) as threads:
            count = sum(threads.map(lambda group: group.rows(bucket), groups))
        bare_s = time.perf_counter() - began
        before = snapshot.traffic
        reader = WindowReader(snapshot, plan, COLUMNS, 2 << 30)
        began = time.perf_counter()
        with WindowStream(plan, reader, "train", seed=0, batch_size=BATCH, ordered=True) as stream:
            for batch in tensors(stream):
                del batch
        ours_s = time.perf_counter() - began
        after = snapshot.traffic
        excess.append((after.fetched - before.fetched) / (after.needed - before.needed) - 1)
        ratios.append(bare_s / ours_s)
        speeds.append(count / ours_s)
    return {
        "s3_over_bare_get_decode": statistics.median(ratios),
        "s3_rows_per_s": round(statistics.median(speeds)),
        "s3_row_groups": len(groups),
        "read_amplification_excess": statistics.median(excess),
    }


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


def rank_load(snapshot: Snapshot) -> dict[str, float]:
    """How much more than the mean the most loaded rank has, by number of ranks."""
    plan = plan_of(snapshot, 1)
    schedule = Schedule(plan, "train", seed=0, batch_size=BATCH, rank=0, ranks=1, shuffled=True)
    lanes = schedule.order(0).merge(0, min(plan.windows("train"), 400 * BATCH)).lanes
    whole = lanes[: len(lanes) // BATCH * BATCH].reshape(-1, BATCH)
    found = {}
    for ranks in (2, 3, 8, 48):
        most = [np.bincount(batch % ranks, minlength=ranks).max() for batch in whole]
        found[f"rank_load_{ranks}"] = float(np.mean(most)) * ranks / BATCH - 1
    return found


def peer(name: str, series: int, count: int, pairs: int) -> dict[str, Any]:
    """What its own process says, or why it is absent."""
    if name in NOT_WRITTEN:
        return {"absent": NOT_WRITTEN[name]}
    if not setup.PYTHON.exists():
        return {"absent": "not set up; run with --setup"}
    command = [setup.PYTHON, "-m", "benchmarks.window_peers.measure", name, series, count, pairs]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"absent": done.stderr.strip().splitlines()[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


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
    peak, rows, small = Peak(), make_rows(series, 10_000), (10, 1000)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = LocalServer.start(Path(folder), die_with_parent=True)
        try:
            bucket = Bucket("lake", server.access)
            bucket.create()
            lake = lake_for(server)
            snapshot = table_of(lake, "s3://lake/large", rows, 4096)
            few = table_of(lake, "s3://lake/small", make_rows(*small), 4096)
            figures["gather_over_memcpy"] = gather_over_memcpy(rows.values.reshape(-1, FEATURES), pairs)
            _, proven = over_bare(few, make_rows(*small), 1)
            found, _ = over_bare(snapshot, rows, pairs)
            figures |= found
            _show(figures)
            figures |= from_s3(bucket, table_of(lake, "s3://lake/cold", rows, 65536), pairs)
            horizon, one = mixing(snapshot, HORIZON, 400), mixing(snapshot, 1, 400)
            figures |= {
                "entities_over_uniform": min(horizon, one),
                "entities_over_uniform_stride_horizon": horizon,
                "entities_over_uniform_stride_1": one,
            }
            figures |= rank_load(snapshot)
            peak.sample()
            _show(figures)
        finally:
            server.stop()
    peers = {name: peer(name, *small, 1 if asked.quick else 3) for name in (*MEASURED, *NOT_WRITTEN)}
    for values in peers.values():
        if "proof" in values:
            values["same_windows"] = values.pop("proof") == list(proven)
    figures |= over_peers(figures["windows_over_bare_gather"], peers)
    load = os.getloadavg()[0]
    print_result(
        "windows",
        quick=asked.quick,
        figures={**figures, "pairs": pairs, "load": load, "peak_rss_mb": round(peak.mb, 1)},
        peers=peers,
    )


def over_peers(ours: float, peers: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Ours ÷ the best of each group, of those whose windows are proven to be ours."""
    theirs = {name: it["over_bare_gather"] for name, it in peers.items() if it.get("same_windows")}
    groups = {
        "windows_over_best_peer": BEST_OF,
        "windows_over_window_libraries": LIBRARIES,
        "windows_over_dataloader_getitems": ("dataloader_getitems",),
    }
    there = {name: [theirs[it] for it in group if it in theirs] for name, group in groups.items()}
    return {name: ours / max(found) for name, found in there.items() if found}


def _show(figures: dict[str, float]) -> None:
    print({name: round(value, 4) for name, value in figures.items()}, flush=True)


if __name__ == "__main__":
    main()
