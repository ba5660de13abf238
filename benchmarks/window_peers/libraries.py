"""Forecasting libraries: their own training datasets and loaders, over the same rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import torch
from torch.utils.data import DataLoader

from benchmarks.window_peers.rows import (
    BATCH,
    COLUMNS,
    CONTEXT,
    FEATURES,
    HORIZON,
    LENGTH,
    Loader,
    Rows,
    past_and_future,
)

# Libraries are imported where they are used: each is there only where --setup has installed it.


def darts(rows: Rows) -> Loader:
    """Its sequential training dataset, in a DataLoader as its models make one."""
    from darts import TimeSeries  # type: ignore[import-not-found]
    from darts.utils.data import SequentialTorchTrainingDataset  # type: ignore[import-not-found]

    # It counts strides from a series' end, so series end where their last window does.
    end = (rows.values.shape[1] - LENGTH) // rows.stride * rows.stride + LENGTH
    series = [TimeSeries.from_values(values[:end]) for values in rows.values]
    dataset = SequentialTorchTrainingDataset(
        series, input_chunk_length=CONTEXT, output_chunk_length=HORIZON, stride=rows.stride
    )
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, collate_fn=_stacked)
    return Loader(lambda: iter(loader), past_and_future)


def _stacked(samples: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the parts of a sample, covariates are empty here."""
    past = np.stack([sample.past_target for sample in samples])
    future = np.stack([sample.future_target for sample in samples])
    return torch.from_numpy(past), torch.from_numpy(future)


def neuralforecast(rows: Rows) -> Loader:
    """Its own loader of series, and the steps with which its models cut and draw windows of them.

    Windows are cut once per batch of series and drawn without replacement, as its models do to predict. To
    train they cut all windows of the batch again for every 256 that they draw, which takes far longer.
    """
    from neuralforecast.models import NHITS  # type: ignore[import-not-found]
    from neuralforecast.tsdataset import (  # type: ignore[import-not-found]
        TimeSeriesDataModule,
        TimeSeriesDataset,
    )

    frame = _frame(rows).rename(columns={"entity": "unique_id", "time": "ds", COLUMNS[0]: "y"})
    dataset = TimeSeriesDataset.from_df(frame)[0]
    model = NHITS(
        h=HORIZON,
        input_size=CONTEXT,
        hist_exog_list=COLUMNS[1:],
        windows_batch_size=BATCH,
        step_size=rows.stride,
        training_data_availability_threshold=1.0,  # without windows that reach beyond the series' end
    )
    module = TimeSeriesDataModule(dataset, batch_size=model.batch_size)

    def batches() -> Iterator[torch.Tensor]:
        for series in module.train_dataloader():
            windows, static, static_columns, whole, _, columns = model._create_windows(series, step="train")
            order = torch.randperm(len(whole))
            for drawn in order.split(BATCH):
                batch = model._sample_windows(windows, static, static_columns, columns, drawn, whole)
                yield batch["temporal"][:, :, :FEATURES, 0]

    return Loader(batches)


def pytorch_forecasting(rows: Rows) -> Loader:
    """TimeSeriesDataSet and its own loader."""
    from pytorch_forecasting import TimeSeriesDataSet  # type: ignore[import-not-found]

    dataset = TimeSeriesDataSet(
        _frame(rows),
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
    if rows.stride > 1:  # it knows no stride: leave the others out of its own index of windows
        dataset.index = dataset.index[dataset.index["time"] % rows.stride == 0].reset_index(drop=True)
    loader = dataset.to_dataloader(train=True, batch_size=BATCH, drop_last=False)

    def whole(batch: Any) -> torch.Tensor:
        inputs, _ = batch
        return past_and_future((inputs["encoder_cont"], inputs["decoder_cont"]))

    return Loader(lambda: iter(loader), whole)


def gluonts_default(rows: Rows) -> Loader:
    """As `gluonts`, with the estimator's own sampler: as many windows, drawn at random."""
    return _gluonts(rows, None)


def gluonts(rows: Rows) -> Loader:
    """An estimator's own transformation and loader, with a sampler that takes every window once.

    Of its estimators for PyTorch, the one that takes several columns; no features of time are added. The
    first column is the target, the others are known beforehand: windows hold all of them to the end.
    """
    return _gluonts(rows, _every_window(rows))


def _gluonts(rows: Rows, sampler: Any) -> Loader:
    from gluonts.dataset.common import ListDataset  # type: ignore[import-not-found]
    from gluonts.itertools import Cached  # type: ignore[import-not-found]
    from gluonts.torch.model.tft import TemporalFusionTransformerEstimator  # type: ignore[import-not-found]

    count = len(rows.starts)
    estimator = TemporalFusionTransformerEstimator(
        freq="h",
        prediction_length=HORIZON,
        context_length=CONTEXT,
        dynamic_dims=[FEATURES - 1],
        time_features=[],
        batch_size=BATCH,
        num_batches_per_epoch=-(-count // BATCH),
        train_sampler=sampler,
    )
    entries = [
        {"target": values[:, 0], "feat_dynamic_real": values[:, 1:].T, "start": _START}
        for values in rows.values
    ]
    transformed = estimator.create_transformation().apply(ListDataset(entries, freq="h"), is_train=True)
    cached = Cached(transformed)  # as `train(cache_data=True)` does
    loader = estimator.create_training_data_loader(cached, None)

    def whole(batch: Any) -> torch.Tensor:
        target = past_and_future((batch["past_target"], batch["future_target"]))
        return torch.cat([target[:, :, None], batch["feat_dynamic_real"][:, :, 1:]], dim=2)

    return Loader(lambda: iter(loader), whole, surplus=-count % BATCH, drawn=sampler is None)


def gluonts_splitter(rows: Rows) -> Loader:
    """Its instance splitter alone, put together by hand without what its estimators add."""
    from gluonts.itertools import batcher
    from gluonts.transform import InstanceSplitter  # type: ignore[import-not-found]

    entries = [
        {"target": values.T, "start": _START, "is_pad": np.zeros(len(values))} for values in rows.values
    ]
    splitter = InstanceSplitter(
        target_field="target",
        is_pad_field="is_pad",
        start_field="start",
        forecast_start_field="forecast_start",
        instance_sampler=_every_window(rows),
        past_length=CONTEXT,
        future_length=HORIZON,
    )

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in batcher(splitter.apply(entries, is_train=True), BATCH):
            past, future = ([item[f"{when}_target"] for item in batch] for when in ("past", "future"))
            yield torch.from_numpy(np.stack(past)), torch.from_numpy(np.stack(future))

    return Loader(batches, past_and_future)


_START = pd.Period("2020-01-01", freq="h")


def _every_window(rows: Rows) -> Any:
    """A sampler of GluonTS's that takes every window of a series once, shuffled."""
    from gluonts.transform.sampler import InstanceSampler  # type: ignore[import-not-found]

    class EveryWindow(InstanceSampler):  # type: ignore[misc]
        axis: int = -1

        def __call__(self, values: Any) -> Any:
            low, high = self._get_bounds(values)
            return np.random.default_rng(0).permutation(np.arange(low, high + 1, rows.stride))

    return EveryWindow(min_past=CONTEXT, min_future=HORIZON)


def _frame(rows: Rows) -> pd.DataFrame:
    """The rows as forecasting libraries want them: long, with a name and a time."""
    series, count, features = rows.values.shape
    frame = pd.DataFrame(rows.values.reshape(-1, features), columns=COLUMNS)
    frame.insert(0, "entity", np.repeat([f"e{number}" for number in range(series)], count))
    frame.insert(1, "time", np.tile(np.arange(count), series))
    return frame
