"""Does an order that shuffles pools of superblocks train as well as a true shuffle of all windows?

    python -m benchmarks.shuffle_quality [--quick] [--seeds N]

A small forecaster (an LSTM of 1×32) is trained for three epochs on a Delta table that is sorted by series,
the layout that is hardest to shuffle: 300 series of their own level, season and noise, 2,400 row groups. Once
with the stream's order at the default pool, once with all windows in memory and a uniform permutation per
epoch; the same windows, the same first weights for each seed.

- `loss_over_true_shuffle`: mean final validation loss over seeds, ours ÷ true shuffle's
- `loss_distance_in_spreads`: the difference of the means ÷ standard deviation of the true shuffle's losses
  over seeds: within the spread of seeds where it is below 1
- `loss`, `loss_true_shuffle`, `spread_true_shuffle`, `seeds`, `steps`
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from benchmarks.report import print_result
from lstm.tasks.forecast import ForecastTask
from lstm.tasks.forecast_config import ForecastConfig
from lstm.training.config import TrainingConfig
from lstm.training.learner import Learner
from lstm.training.schedule import learning_rate
from lstm.windows import Batch, OrderSpec, SplitSpec, TableWindows, open_windows
from storage.local import LocalServer
from storage.objects import Bucket
from storage.tables import Lake, create_table, lake_for

TABLE, SERIES, ROWS, GROUP = "s3://lake/series", 300, 2_000, 250
CONTEXT, HORIZON, STRIDE, BATCH, EPOCHS = 48, 12, 12, 256, 3


def write(lake: Lake, series: int) -> None:
    """Series of their own level, amplitude, phase and noise, one after the other."""
    random = np.random.default_rng(0)
    level, phase = random.normal(0, 5, series), random.uniform(0, 24, series)
    amplitude, noise = random.uniform(0.5, 3, series), random.uniform(0.1, 1, series)
    hours = np.arange(ROWS)
    season = np.sin((hours[None] + phase[:, None]) * (2 * np.pi / 24))
    drift = np.cumsum(random.normal(0, 0.05, (series, ROWS)), axis=1)
    values = level[:, None] + amplitude[:, None] * season + drift
    values += noise[:, None] * random.standard_normal((series, ROWS))
    rows = pa.table(
        {
            "series": np.repeat(np.arange(series), ROWS),
            "time": pa.array(np.tile(hours, series) * 3_600_000_000, pa.timestamp("us", "UTC")),
            "value": pa.array(values.reshape(-1).astype(np.float32)),
        }
    )
    table = create_table(lake, TABLE, rows.schema, format="delta", row_group_rows=GROUP)
    table.append(rows, transaction="all")


class Model:
    """One training."""

    def __init__(self, windows: TableWindows, seed: int, steps: int) -> None:
        config = ForecastConfig(target="value", layers=1, hidden=32, dropout=0.0, shortcut=False)
        self._task = ForecastTask.fit(config, windows.snapshot, windows.plan)
        torch.manual_seed(seed)
        self._training = TrainingConfig(steps=steps)
        self._learner = Learner.of(self._task.build_model(), self._training)

    def train(self, batches: Iterator[Batch]) -> None:
        """Take a step with each."""
        for step, batch in enumerate(batches):
            loss, count = self._task.loss(self._learner.model, self._task.inputs(batch))
            (loss / count.clamp(min=1)).backward()
            torch.nn.utils.clip_grad_norm_(self._learner.model.parameters(), self._training.clip_norm)
            self._learner.update(learning_rate(self._training, step))
            self._learner.optimizer.zero_grad()

    @torch.inference_mode()
    def validation_loss(self, batches: list[Batch]) -> float:
        """Mean over known targets."""
        sums = [self._task.loss(self._learner.model, self._task.inputs(batch)) for batch in batches]
        return float(sum(loss for loss, _ in sums) / sum(count for _, count in sums))


def truly_shuffled(every: list[Batch], seed: int) -> Iterator[Batch]:
    """Batches of all windows of an epoch, in a uniform permutation."""
    values = np.concatenate([batch.values for batch in every])
    times = np.concatenate([batch.times for batch in every])
    series = np.concatenate([batch.series for batch in every])
    random = np.random.default_rng(seed)
    for epoch in range(EPOCHS):
        order = random.permutation(len(values))
        for index, first in enumerate(range(0, len(order), BATCH)):
            at = order[first : first + BATCH]
            yield Batch(epoch, index, len(at), at, values[at], times[at], series[at], at)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a third of the series, 3 seeds")
    parser.add_argument("--seeds", type=int)
    asked = parser.parse_args()
    seeds = asked.seeds or (3 if asked.quick else 8)
    torch.set_num_threads(1)
    ours, true = [], []
    with tempfile.TemporaryDirectory() as folder:
        server = LocalServer.start(Path(folder), die_with_parent=True)
        try:
            Bucket("lake", server.access).create()
            lake = lake_for(server)
            write(lake, SERIES // 3 if asked.quick else SERIES)
            windows = open_windows(
                TABLE,
                lake=lake,
                entity="series",
                time="time",
                context=CONTEXT,
                horizon=HORIZON,
                stride=STRIDE,
                splits=SplitSpec(validation=0.15, test=0),
                order=OrderSpec(),
            )
            with windows.stream("validation", batch_size=1024, ordered=True) as stream:
                validation = list(stream)
            with windows.stream("train", batch_size=BATCH, ordered=True) as stream:
                every, steps = list(stream), EPOCHS * len(stream)
            for seed in range(seeds):
                with windows.stream("train", batch_size=BATCH, seed=seed) as stream:
                    model = Model(windows, seed, steps)
                    model.train(batch for _ in range(EPOCHS) for batch in stream)
                ours.append(model.validation_loss(validation))
                model = Model(windows, seed, steps)
                model.train(truly_shuffled(every, seed))
                true.append(model.validation_loss(validation))
                print(f"seed {seed}: {ours[-1]:.5f}, true shuffle {true[-1]:.5f}", flush=True)
        finally:
            server.stop()
    mean, mean_true, spread = statistics.mean(ours), statistics.mean(true), statistics.stdev(true)
    print_result(
        "shuffle_quality",
        quick=asked.quick,
        figures={
            "loss_over_true_shuffle": mean / mean_true,
            "loss_distance_in_spreads": (mean - mean_true) / spread,
            "loss": mean,
            "loss_true_shuffle": mean_true,
            "spread_true_shuffle": spread,
            "seeds": seeds,
            "steps": steps,
        },
        peers={},
    )


if __name__ == "__main__":
    main()
