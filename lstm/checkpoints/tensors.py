"""PyTorch's tensors as a repository's, and back, bit for bit."""

import torch

from storage.checkpoints.tensor import DTYPES, Tensor


def from_torch(tensor: torch.Tensor) -> Tensor:
    """A view of the tensor's bytes if it lies contiguous in this host's memory, else of a copy.

    Raises:
        ValueError: a dtype or layout (sparse, quantized) that a repository does not hold.
    """
    name = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout != torch.strided or name not in DTYPES:
        raise ValueError(f"a {tensor.layout} tensor of {tensor.dtype} cannot be stored")
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    flat = plain.reshape(-1).view(torch.uint8).numpy()
    return Tensor(name, tuple(tensor.shape), flat.data)


def to_torch(tensor: Tensor) -> torch.Tensor:
    """A copy in this host's memory."""
    dtype: torch.dtype = getattr(torch, tensor.dtype)
    if tensor.nbytes == 0:
        return torch.empty(tensor.shape, dtype=dtype)
    return torch.frombuffer(bytearray(tensor.data), dtype=dtype).reshape(tensor.shape)
