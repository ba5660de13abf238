"""Forecasts as table rows."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from lstm.windows import Batch
from pipelines.predictions.rows import prediction_rows, prediction_schema, quantile_column

HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("level", "column"),
    [(0.1, "q10"), (0.5, "q50"), (0.9, "q90"), (0.05, "q05"), (0.025, "q025"), (0.975, "q975")],
)
def test_a_quantiles_column_is_named_by_its_level(level, column):
    assert quantile_column(level) == column


def test_each_series_and_hour_ahead_is_one_row_sorted_by_both():
    context, horizon = 3, 2
    times = np.arange(context + horizon) * HOUR
    batch = Batch(
        epoch=0,
        index=0,
        size=2,
        positions=np.array([0, 1]),
        values=np.zeros((2, context + horizon, 1), np.float32),
        times=np.stack([times, times]),
        series=np.array([1, 0]),
        starts=np.array([0, 0]),
    )
    forecast = np.arange(2 * horizon * 3, dtype=np.float32).reshape(2, horizon, 3)
    schema = prediction_schema((0.1, 0.5, 0.9))
    rows = prediction_rows(
        forecast, batch, names=("a", "b"), schema=schema, snapshot="7", commit="c", run="r"
    )
    assert rows.schema == schema
    assert rows["series"].to_pylist() == ["a", "a", "b", "b"]
    assert rows["time"].to_pylist()[:2] == [
        datetime(1970, 1, 1, 3, tzinfo=UTC),
        datetime(1970, 1, 1, 4, tzinfo=UTC),
    ]
    assert rows["q50"].to_pylist() == [7.0, 10.0, 1.0, 4.0]
    assert set(
        zip(*(rows[name].to_pylist() for name in ("snapshot_id", "commit_id", "run")), strict=True)
    ) == {("7", "c", "r")}


def test_a_table_of_ordinals_is_forecast_at_ordinals():
    assert prediction_schema((0.5,), pa.int32()).field("time").type == pa.int64()
    assert prediction_schema((0.5,), pa.date32()).field("time").type == pa.timestamp("us", tz="UTC")
