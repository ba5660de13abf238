"""A stream as an `IterableDataset` of tensors that share memory with its arrays."""

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from lstm.windows.adapters.items import Items
from lstm.windows.errors import WindowError
from lstm.windows.stream import WindowStream


class TorchWindows(Items[torch.Tensor], IterableDataset[dict[str, torch.Tensor]]):
    """Whole batches of tensors: iterate it, or give it to `DataLoader(…, batch_size=None)`.

    On a machine without an accelerator a tensor is the batch's own memory. With one it is in pinned memory,
    so that a transfer can overlap computing, or on `device` if one was asked for.
    """

    def __init__(
        self, stream: WindowStream, fields: Sequence[str], *, device: torch.device | str | None = None
    ) -> None:
        self._device = None if device is None else torch.device(device)
        self._pins = torch.accelerator.is_available()
        super().__init__(stream, fields, self._tensor)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield the rest of the current epoch.

        Raises:
            WindowError: in a worker of a DataLoader.
        """
        if get_worker_info() is not None:
            _refuse_workers()
        return super().__iter__()

    def __reduce__(self) -> NoReturn:
        _refuse_workers()

    def _tensor(self, name: str, array: NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self._pins and (self._device is None or self._device.type != "cpu"):
            tensor = tensor.pin_memory()
        return tensor if self._device is None else tensor.to(self._device, non_blocking=True)


def _refuse_workers() -> NoReturn:
    raise WindowError(
        "a stream already reads ahead in threads of its own, and a worker process would keep the cursor to "
        "itself, so that no state_dict() could resume it; use DataLoader(…, batch_size=None, num_workers=0)"
    )
