"""What one rank holds of a tensor."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from storage.checkpoints.sharded.boxes import Box
from storage.checkpoints.tensor import DTYPES, Tensor


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


def joined(shards: Sequence[Shard]) -> Tensor:
    """The whole tensor that one process holds in shards; a view of the only one.

    Raises:
        ValueError: they do not make it up.
    """
    first = shards[0]
    whole = Box.whole(first.shape)
    if len(shards) == 1 and first.box == whole:
        return Tensor(first.dtype, first.shape, first.read(whole))
    covered = sum(shard.box.elements for shard in shards)
    if covered != whole.elements:
        raise ValueError(f"the shards of {first.tensor!r} hold {covered} of {whole.elements} elements")
    width = DTYPES[first.dtype]
    data = np.empty((*first.shape, width), np.uint8)
    for shard in shards:
        raw = np.frombuffer(shard.read(shard.box), np.uint8)
        data[shard.box.within(whole)] = raw.reshape((*shard.box.sizes, width))
    return Tensor(first.dtype, first.shape, data.reshape(-1).data)
