"""Forecasting libraries: their own training datasets and loaders, over the same rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import torch
from torch.utils.data import DataLoader

from benchmarks.window_peers.rows import BATCH, COLUMNS, CONTEXT, HORIZON, Rows

# Libraries are imported where they are used: each is there only where --setup has installed it.


def darts(rows: Rows) -> Iterator[torch.Tensor]:
    """Its sequential training dataset, in a DataLoader as its models make one."""
    from darts import TimeSeries  # type: ignore[import-not-found]
    from darts.utils.data import SequentialTorchTrainingDataset  # type: ignore[import-not-found]

    series = [TimeSeries.from_values(values) for values in rows.values]
    dataset = SequentialTorchTrainingDataset(
        series, input_chunk_length=CONTEXT, output_chunk_length=HORIZON, stride=rows.stride
    )
    yield from DataLoader(dataset, batch_size=BATCH, shuffle=True, collate_fn=_past_and_future)


def _past_and_future(samples: list[Any]) -> torch.Tensor:
    """Of the parts of a sample, covariates are empty here."""
    past = np.stack([sample.past_target for sample in samples])
    future = np.stack([sample.future_target for sample in samples])
    return torch.from_numpy(np.concatenate([past, future], axis=1))


def pytorch_forecasting(rows: Rows) -> Iterator[torch.Tensor]:
    """TimeSeriesDataSet and its own loader."""
    from pytorch_forecasting import TimeSeriesDataSet  # type: ignore[import-not-found]

    series, count, features = rows.values.shape
    frame = pd.DataFrame(rows.values.reshape(-1, features), columns=COLUMNS)
    frame["entity"] = np.repeat([f"e{number}" for number in range(series)], count)
    frame["time"] = np.tile(np.arange(count), series)
    dataset = TimeSeriesDataSet(
        frame,
        time_idx="time",
        target=COLUMNS[0],
        group_ids=["entity"],
        min_encoder_length=CONTEXT,
        max_encoder_length=CONTEXT,
        min_prediction_length=HORIZON,
        max_prediction_length=HORIZON,
        time_varying_unknown_reals=COLUMNS,
        target_normalizer=None,
        scalers=dict.fromkeys(COLUMNS[1:]),
    )
    for inputs, _ in dataset.to_dataloader(train=True, batch_size=BATCH, drop_last=False):
        yield torch.cat([inputs["encoder_cont"], inputs["decoder_cont"]], dim=1)


def gluonts(rows: Rows) -> Iterator[torch.Tensor]:
    """Its instance splitter, with a sampler that takes every window once, batched as its loaders do."""
    from gluonts.itertools import batcher  # type: ignore[import-not-found]
    from gluonts.transform import InstanceSplitter  # type: ignore[import-not-found]
    from gluonts.transform.sampler import InstanceSampler  # type: ignore[import-not-found]

    class EveryWindow(InstanceSampler):  # type: ignore[misc]
        axis: int = -1

        def __call__(self, values: Any) -> Any:
            low, high = self._get_bounds(values)
            return np.random.default_rng(0).permutation(np.arange(low, high + 1, rows.stride))

    entries = [
        {"target": values.T, "start": pd.Period("2020-01-01", freq="h"), "is_pad": np.zeros(len(values))}
        for values in rows.values
    ]
    splitter = InstanceSplitter(
        target_field="target",
        is_pad_field="is_pad",
        start_field="start",
        forecast_start_field="forecast_start",
        instance_sampler=EveryWindow(min_past=CONTEXT, min_future=HORIZON),
        past_length=CONTEXT,
        future_length=HORIZON,
    )
    for batch in batcher(splitter.apply(entries, is_train=True), BATCH):
        past, future = ([item[f"{when}_target"] for item in batch] for when in ("past", "future"))
        yield torch.from_numpy(np.concatenate([np.stack(past), np.stack(future)], axis=1))
