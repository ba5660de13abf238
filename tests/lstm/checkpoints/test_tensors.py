"""Tensors cross into the repository and back without a changed bit."""

import numpy as np
import pytest
import torch

from lstm.checkpoints.nested import to_tensors
from lstm.checkpoints.tensors import TensorShard, from_torch, taken, to_torch
from lstm.checkpoints.values import NotStorable
from storage.checkpoints import Tensor

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_returns_with_the_same_bytes(dtype: torch.dtype) -> None:
    tensor = torch.randn(3, 5).to(dtype)
    back = to_torch(from_torch(tensor))
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    assert bytes(from_torch(back).data) == bytes(from_torch(tensor).data)


def test_a_tensor_without_bytes_is_refused_by_its_name() -> None:
    empty = torch.empty(3, device="meta")
    for refused in (lambda: from_torch(empty), lambda: TensorShard("w", (3,), (0,), empty)):
        with pytest.raises(ValueError, match="meta device"):
            refused()
    with pytest.raises(NotStorable, match=r"'model/w'.*meta device"):
        to_tensors({"model": {"w": empty}})


def test_negative_zero_and_nan_payloads_survive() -> None:
    odd = torch.tensor([-0.0, 0.0]).view(torch.int32)
    payload = torch.tensor([0x7FC01234, 0x7F800001], dtype=torch.int32)
    tensor = torch.cat([odd, payload]).view(torch.float32)
    assert torch.equal(to_torch(from_torch(tensor)).view(torch.int32), tensor.view(torch.int32))


@pytest.mark.parametrize("tensor", [torch.tensor(3.5), torch.empty(0, 4), torch.arange(12.0).reshape(3, 4).T])
def test_scalars_empty_and_transposed_tensors_return_equal(tensor: torch.Tensor) -> None:
    assert torch.equal(to_torch(from_torch(tensor)), tensor)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_was_restored_is_taken_without_a_copy(dtype: torch.dtype) -> None:
    plain = from_torch(torch.randn(3, 5).to(dtype))
    memory = np.frombuffer(bytearray(plain.data), np.uint8)
    tensor = taken(Tensor(plain.dtype, plain.shape, memory.data))
    assert torch.equal(tensor.view(torch.uint8), to_torch(plain).view(torch.uint8))
    assert tensor.data_ptr() == memory.ctypes.data


def test_memory_that_is_shared_or_constant_is_copied() -> None:
    shared = np.arange(12, dtype=np.float32)
    for data in (shared[:6].tobytes(), shared.data[:6], shared.view(np.uint8).data[:24].toreadonly()):
        plain = Tensor("float32", (6,), data)
        taken(plain).fill_(0)
        assert bytes(plain.data) == np.arange(6, dtype=np.float32).tobytes()
