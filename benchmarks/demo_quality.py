"""Does the demo's model beat its baselines, whatever the seed?

    python -m benchmarks.demo_quality [--quick] [--format delta|iceberg]

Three runs of the demo's training, seeds 0, 1 and 2, from an embedded S3 server, on the demo's table and
settings; each is evaluated at its best commit on the test windows, beside the four baselines on the same
windows. `--quick`: seed 0 alone, 100 steps.

Figures: `demo_mae_minutes` and `demo_over_best_baseline` are those of the worst seed; the ratio is its
MAE ÷ the best baseline's. `train_s` is the median of the runs' wall time, start-up included.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.report import Peak, print_result
from lstm.tasks.evaluate import Evaluation
from lstm.training.events import Event
from lstm.training.job import Job
from lstm.training.launch import launch
from lstm.training.trained import load_trained
from pipelines.config.model import TableFormat
from pipelines.demo.settings import demo_config
from pipelines.flows.evaluate import compare
from pipelines.flows.ingest import ROW_GROUP_ROWS
from pipelines.sources import flights_piece
from pipelines.surroundings.connect import Connection, connect
from pipelines.surroundings.servers import folder_of
from storage.local import LocalServer
from storage.tables import create_table


def prepared_job(connection: Connection, kind: TableFormat) -> Job:
    """The demo's table in the bucket, and the demo's job on it."""
    config = demo_config(kind)
    source = flights_piece()
    table = create_table(
        connection.lake, config.table.uri, source.rows.schema, format=kind, row_group_rows=ROW_GROUP_ROWS
    )
    appended = table.append(source.rows, transaction=source.transaction)
    connection.repository()
    return config.job(appended.snapshot_id)


def trained_and_compared(
    job: Job, connection: Connection, root: Path, peak: Peak
) -> tuple[Evaluation, float]:
    """One run: its figures at its best commit, and the seconds that training took."""

    def follow(event: Event) -> None:
        peak.sample()
        if event["event"] == "checkpoint":
            print(f"{job.run} step {event['step']}: {event['metrics']}", file=sys.stderr)

    began = time.perf_counter()
    launch(job, connection.lake, attempt="bench", resume=False, log=root / f"{job.run}.log", on_event=follow)
    seconds = time.perf_counter() - began
    figures = compare(load_trained(connection.repository(), job.run), connection)
    peak.sample()
    return figures, seconds


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--format", choices=("delta", "iceberg"), default="delta")
    asked = parser.parse_args()
    seeds = (0,) if asked.quick else (0, 1, 2)
    peak = Peak()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        server = LocalServer.start(folder_of(LocalServer, root), die_with_parent=True)
        try:
            connection = connect(demo_config(asked.format).storage, root)
            job = prepared_job(connection, asked.format)
            outcomes = []
            for seed in seeds:
                training = replace(job.training, seed=seed)
                if asked.quick:
                    training = replace(training, steps=100)
                run = replace(job, run=f"seed-{seed}", training=training)
                outcomes.append(trained_and_compared(run, connection, root, peak))
        finally:
            server.stop()
    maes = [figures.model["all"]["mae"] for figures, _ in outcomes]
    first = outcomes[0][0]
    baselines = {name: report["all"]["mae"] for name, report in first.baselines.items()}
    figures = {
        "demo_mae_minutes": max(maes),
        "demo_over_best_baseline": max(maes) / baselines[first.best_baseline],
        **{f"demo_mae_minutes_seed_{seed}": mae for seed, mae in zip(seeds, maes, strict=True)},
        "pinball_minutes_seed_0": first.model["all"]["pinball"],
        "coverage_seed_0": first.model["all"]["coverage"],
        "train_s": statistics.median(seconds for _, seconds in outcomes),
        "peak_rss_mb": round(peak.mb, 1),
    }
    peers = {name: {"mae_minutes": mae} for name, mae in baselines.items()}
    print_result("demo_quality", quick=asked.quick, figures=figures, peers=peers)


if __name__ == "__main__":
    main()
