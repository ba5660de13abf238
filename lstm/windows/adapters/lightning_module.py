"""A table's windows as a `LightningDataModule`; a fit that was cut off goes on with the very next batch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule

from lstm.windows.adapters.items import check_fields
from lstm.windows.adapters.torch_dataset import TorchWindows
from lstm.windows.spec import Split
from lstm.windows.stream import WindowStream
from lstm.windows.table_windows import TableWindows

Tensors = dict[str, torch.Tensor]


class WindowsDataModule(LightningDataModule):  # type: ignore[misc]  # an extra: here or not when types are checked
    """The splits of one table: training shuffled, validation and test in the plan's order.

    Each rank of the trainer gets its own windows of every global batch, so `batch_size` counts those of all
    ranks, and a rank may get none of them. The cursor lies in Lightning's checkpoints; a checkpoint also goes
    on with another number of ranks.
    """

    def __init__(
        self,
        windows: TableWindows,
        *,
        batch_size: int,
        seed: int = 0,
        fields: Sequence[str] = ("values",),
    ) -> None:
        """Prepare; `fields` are those of an item, see `items.FIELDS`."""
        super().__init__()
        self.windows, self.batch_size, self.seed = windows, batch_size, seed
        self.fields = check_fields(fields)
        self._streams: dict[Split, WindowStream] = {}
        self._cursor: dict[str, Any] | None = None

    def setup(self, stage: str) -> None:
        """Open the streams that a stage reads; each is opened once."""
        splits: dict[str, tuple[Split, ...]] = {"fit": ("train", "validation"), "validate": ("validation",)}
        for split in splits.get(stage, ("test",)):
            if split not in self._streams and self.windows.plan.windows(split):
                self._streams[split] = self._open(split)

    def _open(self, split: Split) -> WindowStream:
        rank, ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        stream = self.windows.stream(
            split,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=rank,
            ranks=ranks,
            ordered=split != "train",
        )
        if split == "train" and self._cursor is not None:
            stream.load_state_dict(self._cursor)
        return stream

    def train_dataloader(self) -> "TrainingItems":
        """The rest of an epoch each time."""
        return TrainingItems(self._streams["train"], self.fields)

    def val_dataloader(self) -> TorchWindows | list[Any]:
        """The whole split, each time from its beginning."""
        return self._evaluation("validation")

    def test_dataloader(self) -> TorchWindows | list[Any]:
        """As `val_dataloader`."""
        return self._evaluation("test")

    def predict_dataloader(self) -> TorchWindows | list[Any]:
        """The test split."""
        return self._evaluation("test")

    def _evaluation(self, split: Split) -> TorchWindows | list[Any]:
        stream = self._streams.get(split)
        return [] if stream is None else EvaluationItems(stream, self.fields)

    def state_dict(self) -> dict[str, Any]:
        """The cursor of the training stream."""
        stream = self._streams.get("train")
        cursor = self._cursor if stream is None else stream.state_dict()
        return {} if cursor is None else {"cursor": cursor}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's cursor."""
        self._cursor = state.get("cursor")
        if self._cursor is not None and "train" in self._streams:
            self._streams["train"].load_state_dict(self._cursor)

    def teardown(self, stage: str) -> None:
        """End the streams' threads; the cursor stays, so that a second fit goes on."""
        self._cursor = self.state_dict().get("cursor")
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()


class TrainingItems(TorchWindows):
    """Epochs one after the other: Lightning takes `len` items and never asks whether that was the end."""

    def __iter__(self) -> Iterator[Tensors]:
        """Yield the rest of the epoch, or the next one where nothing is left of it."""
        if (
            self.stream.exhausted
        ):  # looked at when the first item is taken: Lightning makes iterators to spare
            self.stream.set_epoch(self.stream.state_dict()["epoch"] + 1)
        yield from super().__iter__()


class EvaluationItems(TorchWindows):
    """A split from its beginning, whatever was left of it before."""

    def __iter__(self) -> Iterator[Tensors]:
        """Yield the whole split."""
        self.stream.set_epoch(0)
        yield from super().__iter__()
