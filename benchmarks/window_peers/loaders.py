"""PyTorch's DataLoader, as people write it and with whole batches per call; Hugging Face's generator."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.window_peers.rows import BATCH, FEATURES, LENGTH, Rows


class Windows(Dataset[torch.Tensor]):
    """One window per call."""

    def __init__(self, rows: Rows) -> None:
        self.flat, self.starts = torch.from_numpy(rows.values.reshape(-1, FEATURES)), rows.starts

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> torch.Tensor:
        start = self.starts[index]
        return self.flat[start : start + LENGTH]


class WindowsAtOnce(Windows):
    """A whole batch per call."""

    def __getitems__(self, indices: list[int]) -> torch.Tensor:
        return self.flat.unfold(0, LENGTH, 1)[torch.from_numpy(self.starts[indices])].transpose(1, 2)


def dataloader(rows: Rows) -> Iterator[torch.Tensor]:
    """Dataset and DataLoader in the training process, which is their fastest way for small windows."""
    yield from DataLoader(Windows(rows), batch_size=BATCH, shuffle=True)


def dataloader_getitems(rows: Rows) -> Iterator[torch.Tensor]:
    """The same with a vectorised `__getitems__`."""
    yield from DataLoader(WindowsAtOnce(rows), batch_size=BATCH, shuffle=True, collate_fn=_as_it_is)


def huggingface(rows: Rows) -> Iterator[torch.Tensor]:
    """An IterableDataset of a generator of windows, with its shuffle buffer."""
    from datasets import IterableDataset  # type: ignore[import-not-found]  # only where --setup has installed it

    flat, starts = rows.values.reshape(-1, FEATURES), rows.starts

    def windows() -> Iterator[dict[str, Any]]:
        for start in starts:
            yield {"window": flat[start : start + LENGTH]}

    held = []
    for example in IterableDataset.from_generator(windows).shuffle(seed=0, buffer_size=10_000):
        held.append(example["window"])
        if len(held) == BATCH:
            yield torch.from_numpy(np.stack(held))
            held = []
    if held:
        yield torch.from_numpy(np.stack(held))


def _as_it_is(batch: Any) -> Any:
    return batch
