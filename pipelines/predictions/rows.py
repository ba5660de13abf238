"""Forecasts as rows of a table that any engine can query.

One row per series and hour ahead: `series`, `time` (the moment forecast), one column per quantile, and where
it comes from: `snapshot_id`, `commit_id`, `run`. A quantile's column is `q` and the digits of its level, at
least two: 0.1 is `q10`, 0.5 is `q50`, 0.025 is `q025`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lstm.windows import Batch

_ORIGIN = ("snapshot_id", "commit_id", "run")
INSTANT = pa.timestamp("us", tz="UTC")


def quantile_column(level: float) -> str:
    """The column of a quantile's level."""
    return f"q{f'{level:.10f}'.partition('.')[2].rstrip('0').ljust(2, '0')}"


def prediction_schema(levels: Sequence[float], source_time: pa.DataType = INSTANT) -> pa.Schema:
    """The columns of a table of forecasts.

    Args:
        levels: of the quantiles.
        source_time: type of the source table's time; a table of ordinals gets forecasts at ordinals.
    """
    time = pa.int64() if pa.types.is_integer(source_time) else INSTANT
    return pa.schema(
        [
            pa.field("series", pa.string()),
            pa.field("time", time, nullable=False),
            *(pa.field(quantile_column(level), pa.float32(), nullable=False) for level in levels),
            pa.field("snapshot_id", pa.string(), nullable=False),
            pa.field("commit_id", pa.string(), nullable=False),
            pa.field("run", pa.string(), nullable=False),
        ]
    )


def prediction_rows(
    forecast_BHQ: NDArray[np.float32],
    batch: Batch,
    *,
    names: Sequence[str | int | None],
    schema: pa.Schema,
    snapshot: str,
    commit: str,
    run: str,
) -> pa.Table:
    """Forecasts of a batch's horizons, sorted by series and time.

    Args:
        forecast_BHQ: quantiles in natural units.
        batch: the windows that were forecast.
        names: entities by series number.
        schema: of `prediction_schema`, for the Q levels.
        snapshot: id of the snapshot that the contexts come from.
        commit: id of the model's commit.
        run: the run it belongs to.
    """
    windows, horizon, _ = forecast_BHQ.shape
    series = [None if names[number] is None else str(names[number]) for number in batch.series.tolist()]
    rows = windows * horizon
    columns = {
        "series": pa.array([name for name in series for _ in range(horizon)], pa.string()),
        "time": pa.array(batch.times[:, -horizon:].reshape(-1)).cast(schema.field("time").type),
        **{
            name: pa.array(np.ascontiguousarray(forecast_BHQ[..., q]).reshape(-1))
            for q, name in enumerate(schema.names[2 : -len(_ORIGIN)])
        },
        "snapshot_id": pa.repeat(snapshot, rows),
        "commit_id": pa.repeat(commit, rows),
        "run": pa.repeat(run, rows),
    }
    table = pa.table(columns, schema=schema)
    return table.sort_by([("series", "ascending"), ("time", "ascending")])


def shown_rows(rows: pa.Table) -> list[dict[str, Any]]:
    """The forecasts themselves as plain values, for people."""
    return [
        {name: str(value) if name == "time" else value for name, value in row.items() if name not in _ORIGIN}
        for row in rows.to_pylist()
    ]
