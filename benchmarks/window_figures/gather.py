"""Gathering beside copying, and a whole stream beside a loop that only gathers."""

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.counted import counted_gets
from benchmarks.window_figures.medians import medians
from benchmarks.window_figures.table import plan_of, tensors
from benchmarks.window_peers.rows import BATCH, COLUMNS, FEATURES, LENGTH, Rows, bare
from lstm.windows import WindowReader, WindowStream
from lstm.windows.arrays.gather import Windows
from storage.tables import Snapshot


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
