"""Copies of a state that training is about to change, in memory that is used again for every save.

A copy into memory that was never touched takes three times as long: the kernel hands out each page first.
"""

from collections.abc import Mapping
from typing import Protocol, TypeVar

import numpy as np

from storage.checkpoints.tensor import Tensor

S_contra = TypeVar("S_contra", contravariant=True)

_TOUCHED = 2**20  # bytes at a time, so that Python's lock is free in between
_ALIGNED = 64  # bytes: a cache line, and whatever a dtype asks for


class Slot(Protocol[S_contra]):
    """Memory for one state. Tensors of another framework, or of an accelerator, have slots of their own."""

    def reserve(self, size: int) -> None:
        """Have memory for a state of so many bytes, touched once: the first copy is then as fast as any."""
        ...

    def copy(self, state: Mapping[str, S_contra]) -> Mapping[str, Tensor]:
        """The state as it is now, in this slot's memory: valid until the next copy."""
        ...


class HostSlot:
    """Copies plain tensors into one buffer, which grows to the largest state that it has seen."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def reserve(self, size: int) -> None:
        """See `Slot`."""
        memory = np.empty(size, np.uint8)
        for begin in range(0, size, _TOUCHED):
            memory[begin : begin + _TOUCHED] = 0
        self._memory = memory

    def copy(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See `Slot`. Bytes that nobody can change (`bytes`) are not copied."""
        changing = {name: tensor for name, tensor in state.items() if not _is_constant(tensor)}
        needed = sum(_aligned(tensor.nbytes) for tensor in changing.values())
        if needed > self._memory.size:
            self._memory = np.empty(needed, np.uint8)
        copies, begin = dict(state), 0
        for name, tensor in changing.items():
            part = self._memory[begin : begin + tensor.nbytes]
            part[:] = np.frombuffer(tensor.data, np.uint8)
            copies[name] = Tensor(tensor.dtype, tensor.shape, part.data, tensor.block_rows)
            begin += _aligned(tensor.nbytes)
        return copies


def _is_constant(tensor: Tensor) -> bool:
    return tensor.nbytes == 0 or isinstance(memoryview(tensor.data).obj, bytes)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
