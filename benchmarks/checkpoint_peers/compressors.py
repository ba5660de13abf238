"""Each state as one compressed file: PyTorch's own format, zstd, ZipNN, and ZipNN beside the state before.

ZipNN by its README: the dtype is told, methods are chosen automatically; of two models their XOR is
compressed (`delta_compressed_type`). zstd at its default level, 3.
"""

import io
from collections.abc import Callable
from typing import Any

import torch
import zstandard

from benchmarks.trails import Save
from lstm.checkpoints.tensors import to_torch


class Files:
    """Stores each state on its own."""

    def __init__(self, stored: Callable[[Save, Save | None], int]) -> None:
        self._stored, self._before = stored, None
        self.bytes = 0

    _before: Save | None

    def save(self, state: Save) -> None:
        """Store one more."""
        self.bytes += self._stored(state, self._before)
        self._before = state

    def close(self) -> int:
        """Bytes of all."""
        return self.bytes


def torch_save(state: Save, before: Save | None) -> int:
    """`torch.save` of a dictionary of tensors."""
    file = io.BytesIO()
    torch.save({name: to_torch(tensor) for name, tensor in state.tensors.items()}, file)
    return file.tell()


def zstd(state: Save, before: Save | None) -> int:
    """One zstd file."""
    return len(zstandard.ZstdCompressor().compress(_bytes(state)))


def zipnn(state: Save, before: Save | None) -> int:
    """One ZipNN file."""
    return len(_zipnn(state).compress(_bytes(state)))


def zipnn_with_base(state: Save, before: Save | None) -> int:
    """One ZipNN file of the XOR with the state before; the first one alone. The smaller of both is kept."""
    alone = zipnn(state, None)
    if before is None:
        return alone
    beside = _zipnn(state, delta_compressed_type="byte").compress(
        _bytes(state), delta_second_data=_bytes(before)
    )
    return min(alone, len(beside))


def _zipnn(state: Save, **settings: Any) -> Any:
    from zipnn import ZipNN  # type: ignore[import-not-found]  # only where --setup has installed it

    dtype = next(iter(state.tensors.values())).dtype
    return ZipNN(input_format="byte", bytearray_dtype=dtype, threads=1, **settings)


def _bytes(state: Save) -> bytes:
    return b"".join(bytes(tensor.data) for tensor in state.tensors.values())
