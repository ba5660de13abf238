"""What it costs to train from the table, beside training from memory on the same batches.

    python -m benchmarks.stream_training [--quick] [--pairs N]

A Delta table on the embedded S3 server; windows of 96 + 24 rows of 7 columns, batches of 256; real steps of
the forecaster (LSTMs of 1×32 and 2×128, row by row) on as many threads as there are cores less one. A pair
is a block of steps that take their batches from the stream, and a block on the same batches out of a list;
which comes first alternates. Figures are of the worse model, `..._1x32` and `..._2x128` of each.

- `table_over_memory_warm`: wall time per step from a stream whose row groups are in memory ÷ from the list,
  median of pairs; `..._low` and `..._high`: a 95% interval of it, by bootstrap
- `table_over_memory_cold`: the same with a reader of its own for each pair, from its first batch on (how
  long that one takes is told as `first_batch_s`): what is fetched and decoded beside the steps
- `data_wait_share`: of the warm blocks' time, what the loop waited for batches
- `rss_20x_over_1x` and other figures of `benchmarks.stream_memory`, which is called last
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from benchmarks import stream_memory
from benchmarks.report import print_result
from benchmarks.spread import interval
from benchmarks.stream_memory import in_child
from benchmarks.trainings_memory import in_trainings_memory
from benchmarks.window_figures.table import plan_of, table_of
from benchmarks.window_peers.rows import BATCH, COLUMNS, make_rows
from lstm.tasks.forecast import ForecastTask
from lstm.tasks.forecast_config import ForecastConfig
from lstm.training.config import TrainingConfig
from lstm.training.learner import Learner
from lstm.windows import Batch, WindowReader, WindowStream
from storage.local import LocalServer
from storage.objects import Access, Bucket
from storage.tables import Lake, lake_for, open_table

MODELS = {"1x32": (1, 32), "2x128": (2, 128)}
LARGE = "s3://lake/large"
ROW_GROUP_ROWS = 4096


class Training:
    """One model and its steps."""

    def __init__(self, task: ForecastTask) -> None:
        torch.manual_seed(0)
        self._task, self._learner = task, Learner.of(task.build_model(), TrainingConfig())

    def steps(self, batches: Iterator[Batch]) -> float:
        """Seconds that training on them takes."""
        began = time.perf_counter()
        for batch in batches:
            loss, count = self._task.loss(self._learner.model, self._task.inputs(batch))
            (loss / count.clamp(min=1)).backward()
            self._learner.update(1e-3)
            self._learner.optimizer.zero_grad()
        return time.perf_counter() - began


def train(access: Access, layers: int, hidden: int, steps: int, pairs: int) -> dict[str, float]:
    """All figures of one model; call it in a process of its own."""
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    snapshot = open_table(Lake(access=access), LARGE, format="delta").snapshot()
    plan = plan_of(snapshot, 1)
    config = ForecastConfig(
        target=COLUMNS[0], past=tuple(COLUMNS[1:]), layers=layers, hidden=hidden, patch=1, dropout=0.0
    )
    training = Training(ForecastTask.fit(config, snapshot, plan))

    def stream_of(reader: WindowReader) -> WindowStream:
        return WindowStream(plan, reader, "train", seed=0, batch_size=BATCH)

    def reader() -> WindowReader:
        return WindowReader(snapshot, plan, COLUMNS, 2 << 30)

    first, cold, warm, shares = [], [], [], []
    with stream_of(filled := reader()) as stream:
        filled.read(np.arange(0, plan.rows - 1, ROW_GROUP_ROWS), 1)  # every row group
        batches = iter(stream)
        memory = list(islice(batches, steps))
        training.steps(iter(memory))
        waited = 0.0

        def table() -> float:
            nonlocal waited
            before = stream.waited_s
            taken = _train_next(training, batches, steps)
            waited = (stream.waited_s - before) / taken
            return taken

        def from_memory() -> float:
            return training.steps(iter(memory))

        for number in range(pairs):
            warm.append(_pair(table, from_memory, number))
            shares.append(waited)
    for number in range(max(3, pairs // 2)):
        with stream_of(reader()) as stream:
            began, batches = time.perf_counter(), iter(stream)
            next(batches)
            first.append(time.perf_counter() - began)
            cold.append(_pair(partial(_train_next, training, batches, steps), from_memory, number))
    low, high = interval(warm)
    return {
        "table_over_memory_warm": statistics.median(warm),
        "table_over_memory_warm_low": low,
        "table_over_memory_warm_high": high,
        "table_over_memory_cold": statistics.median(cold),
        "data_wait_share": statistics.median(shares),
        "first_batch_s": statistics.median(first),
    }


def _train_next(training: Training, batches: Iterator[Batch], steps: int) -> float:
    return training.steps(islice(batches, steps))


def _pair(table: Callable[[], float], memory: Callable[[], float], number: int) -> float:
    """Table ÷ memory; every other pair starts with memory."""
    if number % 2:
        after = memory()
        return table() / after
    before = table()
    return before / memory()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pairs", type=int)
    asked = parser.parse_args()
    in_trainings_memory("benchmarks.stream_training")
    pairs = asked.pairs or (3 if asked.quick else 15)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = LocalServer.start(Path(folder), die_with_parent=True)
        try:
            Bucket("lake", server.access).create()
            lake = lake_for(server)
            table_of(lake, LARGE, make_rows(20 if asked.quick else 100, 10_000), ROW_GROUP_ROWS)
            for name, (layers, hidden) in MODELS.items():
                steps = (20 if asked.quick else 60) if name == "1x32" else (4 if asked.quick else 10)
                found = in_child(train, server.access, layers, hidden, steps, pairs)
                figures |= {f"{figure}_{name}": value for figure, value in found.items()}
                print(name, {figure: round(value, 4) for figure, value in found.items()}, flush=True)
            memory = stream_memory.figures_of(server.access, lake, quick=asked.quick)
        finally:
            server.stop()
    worse = {
        name: max(figures[f"{name}_{model}"] for model in MODELS)
        for name in ("table_over_memory_warm", "table_over_memory_cold", "data_wait_share")
    }
    told = {**memory, "pairs": pairs}
    print_result(
        "stream_training",
        quick=asked.quick,
        figures={**worse, **told, "load": os.getloadavg()[0], **figures},
        peers={},
    )


if __name__ == "__main__":
    main()
