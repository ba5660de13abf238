"""Small tasks and batches in memory: two series of hours, one input beside the target."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lstm.tasks.forecast import ForecastTask
from lstm.tasks.forecast_config import ForecastConfig
from lstm.windows.batch import Batch
from lstm.windows.features.scaling import Scaling
from lstm.windows.spec import WindowSpec

HOUR_US = 3_600_000_000
CONTEXT, HORIZON = 48, 6


def make_task(**changes: object) -> ForecastTask:
    config = {"target": "delay", "past": ("rain",), "hidden": 8, "dropout": 0.1, "scale": "asinh", **changes}
    scaling = Scaling(columns=("rain", "delay"), count=(99, 99), mean=(1.0, 10.0), std=(2.0, 40.0))
    return ForecastTask(
        ForecastConfig(**config),
        window=WindowSpec(context=CONTEXT, horizon=HORIZON),
        series=("EWR-UA", "JFK-B6"),
        scaling=scaling,
    )


def make_batch(
    starts: list[int], *, series: list[int] | None = None, values: np.ndarray | None = None
) -> Batch:
    """Windows that begin at rows `starts` of their series; row 0 is 1970-01-01 00:00 UTC."""
    b, length = len(starts), CONTEXT + HORIZON
    rows = np.array(starts, np.int64).reshape(b, 1) + np.arange(length)
    if values is None:
        generator = np.random.default_rng(sum(starts))
        values = generator.normal(10, 40, (b, length, 2)).astype(np.float32)
        values[generator.random(values.shape) < 0.4] = np.nan
    return Batch(
        epoch=0,
        index=0,
        size=b,
        positions=np.arange(b),
        values=values,
        times=rows * HOUR_US,
        series=np.array(series if series is not None else [0] * b, np.int64),
        starts=np.array(starts, np.int64),
    )


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Models this small are slower on several threads, and far slower where cores are busy."""
    torch.set_num_threads(1)


@pytest.fixture
def task() -> ForecastTask:
    return make_task()


@pytest.fixture
def batch() -> Callable[..., Batch]:
    return make_batch
