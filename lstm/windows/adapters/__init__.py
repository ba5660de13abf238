"""A stream as other frameworks take their data: NumPy, PyTorch, TensorFlow, JAX, Lightning.

Nothing but NumPy is imported until its adapter is asked for. Every item is a mapping of the fields asked for,
`{"values": [b, T, F], …}`: see `items.FIELDS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lstm.extras import asked_for
from lstm.windows.adapters.items import FIELDS, Items, check_fields
from lstm.windows.stream import WindowStream
from lstm.windows.table_windows import TableWindows

if TYPE_CHECKING:
    import tensorflow as tf
    import torch
    from numpy.typing import NDArray

    from lstm.windows.adapters.lightning_module import WindowsDataModule
    from lstm.windows.adapters.torch_dataset import TorchWindows

__all__ = ["FIELDS", "Items", "as_jax", "as_numpy", "as_tensorflow", "as_torch", "lightning"]


def as_numpy(stream: WindowStream, fields: Sequence[str] = ("values",)) -> Items[NDArray[Any]]:
    """Items of arrays, fresh for each batch."""
    return Items(stream, fields, lambda name, array: array)


def as_torch(
    stream: WindowStream,
    fields: Sequence[str] = ("values",),
    *,
    device: torch.device | str | None = None,
) -> TorchWindows:
    """An `IterableDataset` of tensors; see `torch_dataset.TorchWindows`."""
    from lstm.windows.adapters.torch_dataset import TorchWindows

    return TorchWindows(stream, fields, device=device)


def as_tensorflow(stream: WindowStream, fields: Sequence[str] = ("values",)) -> tf.data.Dataset:
    """A `tf.data.Dataset` of the rest of an epoch; see `tensorflow_dataset.dataset_of`."""
    with asked_for("tensorflow", "tensorflow", "as_tensorflow"):
        from lstm.windows.adapters.tensorflow_dataset import dataset_of

    return dataset_of(stream, fields)


def as_jax(stream: WindowStream, fields: Sequence[str] = ("values",)) -> Items[Any]:
    """Items of JAX arrays on the default device; see `jax_arrays.to_jax`."""
    with asked_for("jax", "jax", "as_jax"):
        from lstm.windows.adapters.jax_arrays import to_jax

    return Items(stream, fields, to_jax)


def lightning(
    windows: TableWindows,
    *,
    batch_size: int,
    seed: int = 0,
    fields: Sequence[str] = ("values",),
) -> WindowsDataModule:
    """A `LightningDataModule` over all splits; see `lightning_module.WindowsDataModule`."""
    with asked_for("lightning", "lightning", "the Lightning data module"):
        from lstm.windows.adapters.lightning_module import WindowsDataModule

    return WindowsDataModule(windows, batch_size=batch_size, seed=seed, fields=check_fields(fields))
