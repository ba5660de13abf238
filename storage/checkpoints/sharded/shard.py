"""What one rank holds of a tensor."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from storage.checkpoints.sharded.boxes import Box
from storage.checkpoints.tensor import Tensor


class Shard(Protocol):
    """A box of a tensor whose bytes this process has, wherever they lie. It must not change during a save."""

    tensor: str
    """Name of the tensor."""
    dtype: str
    """One of `tensor.DTYPES`."""
    shape: tuple[int, ...]
    """Of the whole tensor."""
    box: Box

    def read(self, part: Box) -> memoryview:
        """Bytes of a part of `box`, C-contiguous: a view where they lie so in memory, else a copy."""
        ...


class ArrayShard:
    """A shard in a NumPy array."""

    def __init__(
        self, tensor: str, shape: tuple[int, ...], offsets: tuple[int, ...], array: npt.NDArray[Any]
    ) -> None:
        """`shape` is the whole tensor's, `offsets` say where `array` lies in it."""
        self.tensor, self.dtype, self.shape = tensor, array.dtype.name, shape
        self.box, self._array = Box(offsets, array.shape), array

    def read(self, part: Box) -> memoryview:
        """See `Shard`."""
        return memoryview(Tensor.from_numpy(np.asarray(self._array[part.within(self.box)])).data)
