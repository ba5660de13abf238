"""PyTorch tensors on the CPU as the plain tensors that a repository stores, and back, bit for bit."""

import numpy as np
import torch

from storage.checkpoints import Tensor


def to_plain(tensor: torch.Tensor) -> Tensor:
    """A view of `tensor`'s bytes where it is contiguous on the CPU, else of a copy of them."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    data = flat.view(torch.uint8).numpy().data if flat.numel() else b""
    return Tensor(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), data)


def from_plain(plain: Tensor) -> torch.Tensor:
    """A fresh torch tensor with the bytes of `plain`."""
    dtype: torch.dtype = getattr(torch, plain.dtype)
    data = bytearray(plain.data)
    if not data:
        return torch.empty(plain.shape, dtype=dtype)
    return torch.frombuffer(data, dtype=dtype).reshape(plain.shape)


def taken(plain: Tensor) -> torch.Tensor:
    """A torch tensor on the very memory of a restored `plain`, which must not be used any more.

    A copy, as of `from_plain`, where that memory is not all its own, or cannot be written.
    """
    owner = memoryview(plain.data).obj
    if not isinstance(owner, np.ndarray) or owner.nbytes != plain.nbytes or not owner.flags.writeable:
        return from_plain(plain)
    dtype: torch.dtype = getattr(torch, plain.dtype)
    return torch.from_numpy(owner.reshape(-1).view(np.uint8)).view(dtype).reshape(plain.shape)
