"""Memory that torch's tensors are copied into before training goes on: pinned where there is an accelerator.

Copies from an accelerator into pinned memory run side by side and are waited for once, where those into other
memory go one by one through a buffer of the driver.
"""

from collections.abc import Callable, Mapping

import torch

from lstm.checkpoints.tensors import dtype_of
from storage.checkpoints.tensor import Tensor

_ALIGNED = 64  # bytes: a cache line, and whatever a dtype asks for


def host_memory(size: int) -> torch.Tensor:
    """So many bytes of this host, pinned if this process has an accelerator."""
    return torch.empty(size, dtype=torch.uint8, pin_memory=torch.accelerator.is_available())


class TorchSlot:
    """A `Slot` for torch's tensors, of any device and layout in memory, and for plain ones among them."""

    def __init__(self, allocate: Callable[[int], torch.Tensor] = host_memory) -> None:
        """`allocate` gives memory of this host, of so many bytes."""
        self._allocate, self._memory = allocate, torch.empty(0, dtype=torch.uint8)

    def reserve(self, size: int) -> None:
        """See `Slot`."""
        self._memory = self._allocate(size).zero_()

    def copy(self, state: Mapping[str, torch.Tensor | Tensor]) -> Mapping[str, Tensor]:
        """See `Slot`. Raises ValueError: a dtype or layout that a repository does not hold."""
        dtypes = {name: it.dtype if isinstance(it, Tensor) else dtype_of(it) for name, it in state.items()}
        needed = sum(_aligned(it.nbytes) for it in state.values())
        if needed > self._memory.numel():
            self._memory = self._allocate(needed)
        copies: dict[str, Tensor] = {}
        devices: set[torch.device] = set()
        begin = 0
        for name, it in state.items():
            part = self._memory[begin : begin + it.nbytes]
            begin += _aligned(it.nbytes)
            if not isinstance(it, Tensor):
                if it.numel():
                    part.view(it.dtype).view(it.shape).copy_(it.detach(), non_blocking=True)
                devices.add(it.device)
            elif it.nbytes:
                part.numpy()[:] = memoryview(it.data)
            rows = it.block_rows if isinstance(it, Tensor) else None
            copies[name] = Tensor(dtypes[name], tuple(it.shape), part.numpy().data, rows)
        for device in devices:
            if device.type != "cpu":
                torch.accelerator.synchronize(device)
        return copies


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
