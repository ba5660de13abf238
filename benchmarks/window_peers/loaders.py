"""Ways to load samples in general: PyTorch's DataLoader, Hugging Face's generator, MosaicML's shards."""

import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.window_peers.rows import (
    BATCH,
    CONTEXT,
    FEATURES,
    LENGTH,
    Loader,
    Rows,
    as_it_is,
    past_and_future,
)

# Libraries are imported where they are used: each is there only where --setup has installed it.


class Windows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """One window per call: what a model sees, and what it is to say."""

    def __init__(self, rows: Rows) -> None:
        self.flat, self.starts = torch.from_numpy(rows.values.reshape(-1, FEATURES)), rows.starts

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        start = self.starts[index]
        return self.flat[start : start + CONTEXT], self.flat[start + CONTEXT : start + LENGTH]


class WindowsInOnePart(Windows):
    """One window per call, which whoever takes the batch splits."""

    def __getitem__(self, index: int) -> torch.Tensor:  # type: ignore[override]
        start = self.starts[index]
        return self.flat[start : start + LENGTH]


class WindowsAtOnce(WindowsInOnePart):
    """A whole batch per call."""

    def __getitems__(self, indices: list[int]) -> torch.Tensor:
        return self.flat.unfold(0, LENGTH, 1)[torch.from_numpy(self.starts[indices])].transpose(1, 2)


def dataloader(rows: Rows) -> Loader:
    """Dataset and DataLoader in the training process, which is their fastest way for small windows."""
    loader = DataLoader(Windows(rows), batch_size=BATCH, shuffle=True)
    return Loader(lambda: iter(loader), past_and_future)


def dataloader_one_part(rows: Rows) -> Loader:
    """The same with half as many tensors."""
    loader = DataLoader(WindowsInOnePart(rows), batch_size=BATCH, shuffle=True)
    return Loader(lambda: iter(loader))


def dataloader_getitems(rows: Rows) -> Loader:
    """The same with a vectorised `__getitems__`."""
    loader = DataLoader(WindowsAtOnce(rows), batch_size=BATCH, shuffle=True, collate_fn=as_it_is)
    return Loader(lambda: iter(loader))


def huggingface(rows: Rows) -> Loader:
    """An IterableDataset of a generator of windows, with its shuffle buffer."""
    from datasets import IterableDataset  # type: ignore[import-not-found]

    flat, starts = rows.values.reshape(-1, FEATURES), rows.starts

    def windows() -> Iterator[dict[str, Any]]:
        for start in starts:
            yield {"window": flat[start : start + LENGTH]}

    shuffled = {"buffer_size": 10_000, "max_buffer_input_shards": 1}  # there is one: no thread per example
    dataset = IterableDataset.from_generator(windows).shuffle(seed=0, **shuffled)

    def batches() -> Iterator[torch.Tensor]:
        held = []
        for example in dataset:
            held.append(example["window"])
            if len(held) == BATCH:
                yield torch.from_numpy(np.stack(held))
                held = []
        if held:
            yield torch.from_numpy(np.stack(held))

    return Loader(batches)


def mosaicml_streaming(rows: Rows) -> Loader:
    """Its shards, written beforehand with a window in each sample, and two workers that live on.

    Only its core is imported: the package itself wants torchvision, whose build on PyPI does not load beside
    a PyTorch without CUDA.
    """
    found = importlib.util.find_spec("streaming")
    if found is None:
        raise ModuleNotFoundError("No module named 'streaming'")
    sys.modules["streaming"] = importlib.util.module_from_spec(found)
    from streaming.base.dataset import StreamingDataset  # type: ignore[import-not-found]
    from streaming.base.format import MDSWriter  # type: ignore[import-not-found]

    folder = tempfile.TemporaryDirectory()
    flat = rows.values.reshape(-1, FEATURES)
    with MDSWriter(out=folder.name, columns={"window": f"ndarray:float32:{LENGTH},{FEATURES}"}) as shards:
        for start in rows.starts:
            shards.write({"window": flat[start : start + LENGTH]})
    dataset = StreamingDataset(local=folder.name, batch_size=BATCH, shuffle=True)
    loader = DataLoader(dataset, batch_size=BATCH, num_workers=2, persistent_workers=True)

    def batches() -> Iterator[torch.Tensor]:
        assert folder.name  # it lives as long as this does
        for batch in loader:
            yield batch["window"]

    return Loader(batches)
