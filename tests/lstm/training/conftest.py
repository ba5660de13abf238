"""A small table with gaps in its values, and a job that trains on it in seconds."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lstm.tasks.forecast_config import ForecastConfig
from lstm.training.config import TrainingConfig
from lstm.training.job import Job, TableRef
from lstm.windows import OrderSpec, SplitSpec, WindowSpec
from storage.local import LocalServer
from storage.objects import Bucket
from storage.tables import Lake, create_table, lake_for

from .runner import Runner

SERIES, HOURS = 5, 260


@pytest.fixture(scope="session")
def lake(s3_server: LocalServer) -> Lake:
    return lake_for(s3_server)


@pytest.fixture(scope="session")
def table(lake: Lake) -> TableRef:
    """Five series of 260 hours, a tenth of the target unknown."""
    bucket = Bucket("training", lake.access)
    bucket.create()
    rows = _rows()
    made = create_table(lake, "s3://training/tables/waves", rows.schema, format="delta", row_group_rows=97)
    appended = made.append(rows, transaction="waves")
    return TableRef(
        uri=made.uri,
        format="delta",
        snapshot=appended.snapshot_id,
        entity="series",
        time="time",
        max_gap_s=3600.0,
    )


def _rows() -> pa.Table:
    random = np.random.default_rng(7)
    hours = np.arange(HOURS)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    times = [start + timedelta(hours=int(hour)) for hour in hours]
    parts = []
    for number in range(SERIES):
        load = np.sin(hours / 12 + number) + 0.1 * random.standard_normal(HOURS)
        unknown = random.random(HOURS) < 0.1
        parts.append(
            pa.table(
                {
                    "series": pa.array([f"s{number}"] * HOURS),
                    "time": pa.array(times, pa.timestamp("us", "UTC")),
                    "load": pa.array(load.astype(np.float32), mask=unknown),
                    "temp": pa.array(random.standard_normal(HOURS).astype(np.float32)),
                }
            )
        )
    return pa.concat_tables(parts)


@pytest.fixture
def runner(lake: Lake, tmp_path: Path) -> Runner:
    return Runner(lake, tmp_path / "ranks.log")


@pytest.fixture(scope="session")
def make_job(table: TableRef) -> Callable[..., Job]:
    """A job of the given run name; other words change its training."""

    def make(run: str, **training: Any) -> Job:
        job = Job(
            run=run,
            bucket="training",
            repository="checkpoints",
            table=table,
            window=WindowSpec(context=24, horizon=6),
            split=SplitSpec(validation=0.2, test=0.1),
            order=OrderSpec(lanes=6, pool=2),
            forecast=ForecastConfig(target="load", past=("temp",), hidden=8, layers=2, dropout=0.2),
            training=TrainingConfig(
                steps=40,
                batch_size=32,
                checkpoint_every=8,
                report_every=1,
                validation_batches=4,
                timeout_s=300,
            ),
        )
        return replace(job, training=replace(job.training, **training))

    return make
