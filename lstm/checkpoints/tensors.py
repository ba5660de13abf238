"""PyTorch's tensors as a repository's, and back, bit for bit."""

import numpy as np
import torch

from storage.checkpoints.sharded import Box
from storage.checkpoints.tensor import DTYPES, Tensor


class TensorShard:
    """A `Shard` in a tensor of any device; parts are copied to the host as they are needed."""

    def __init__(
        self, name: str, shape: tuple[int, ...], offsets: tuple[int, ...], tensor: torch.Tensor
    ) -> None:
        """`shape` is the whole tensor's, `offsets` say where `tensor` lies in it. Raises ValueError."""
        self.tensor, self.dtype, self.shape = name, dtype_of(tensor), shape
        self.box, self._held = Box(offsets, tuple(tensor.shape)), tensor.detach()

    def read(self, part: Box) -> memoryview:
        """See `Shard`."""
        return memoryview(from_torch(self._held[part.within(self.box)]).data)


def dtype_of(tensor: torch.Tensor) -> str:
    """The repository's name of it.

    Raises:
        ValueError: a dtype or layout (sparse) that it does not hold, or a meta tensor, which has no bytes.
    """
    if tensor.is_meta:
        raise ValueError(
            "a tensor of the meta device has no bytes and cannot be stored; materialize it first"
        )
    name = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout != torch.strided or name not in DTYPES:
        raise ValueError(f"a {tensor.layout} tensor of {tensor.dtype} cannot be stored")
    return name


def from_torch(tensor: torch.Tensor) -> Tensor:
    """A view of the tensor's bytes if it lies contiguous in this host's memory, else of a copy.

    Raises:
        ValueError: a dtype or layout (sparse, quantized) that a repository does not hold, or a meta tensor.
    """
    name = dtype_of(tensor)
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    flat = plain.reshape(-1).view(torch.uint8).numpy()
    return Tensor(name, tuple(tensor.shape), flat.data)


def to_torch(tensor: Tensor) -> torch.Tensor:
    """A copy in this host's memory."""
    dtype: torch.dtype = getattr(torch, tensor.dtype)
    if tensor.nbytes == 0:
        return torch.empty(tensor.shape, dtype=dtype)
    return torch.frombuffer(bytearray(tensor.data), dtype=dtype).reshape(tensor.shape)


def taken(tensor: Tensor) -> torch.Tensor:
    """A torch tensor on the very memory of a restored `tensor`, which must not be used any more.

    A copy, as of `to_torch`, where that memory is not all its own, or cannot be written.
    """
    owner = memoryview(tensor.data).obj
    if not isinstance(owner, np.ndarray) or owner.nbytes != tensor.nbytes or not owner.flags.writeable:
        return to_torch(tensor)
    dtype: torch.dtype = getattr(torch, tensor.dtype)
    return torch.from_numpy(owner.reshape(-1).view(np.uint8)).view(dtype).reshape(tensor.shape)
