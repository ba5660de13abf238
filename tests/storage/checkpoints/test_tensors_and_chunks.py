"""Tensors keep every bit; chunks are cut where the format says, whoever cuts them."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.checkpoints import DTYPES, Tensor, TooLarge
from storage.checkpoints.format.chunks import CHUNK_LIMIT, chunk_id, cut
from storage.checkpoints.tensor import raw_bytes

NUMPY_DTYPES = sorted(DTYPES.keys() - {"bfloat16", "float8_e4m3fn", "float8_e5m2"})
MIB = 2**20


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 5), (2, 3)])
def test_numpy_array_comes_back(dtype, shape):
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    tensor = Tensor.from_numpy(array)
    back = tensor.to_numpy()
    assert (tensor.dtype, tensor.shape, tensor.nbytes) == (dtype, shape, array.nbytes)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_arrays_that_are_not_contiguous_or_big_endian_are_copied_right():
    array = np.arange(12, dtype=">i4").reshape(3, 4).T[::2]
    assert np.array_equal(Tensor.from_numpy(array).to_numpy(), array)


def test_dtypes_that_numpy_lacks_keep_their_bytes_and_say_so(monkeypatch):
    tensor = Tensor("bfloat16", (2,), b"\x01\x02\x03\x04")
    assert bytes(tensor.data) == b"\x01\x02\x03\x04"
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)  # as where it is not installed
    with pytest.raises(ValueError, match="bfloat16: pip install ml_dtypes"):
        tensor.to_numpy()


@pytest.mark.parametrize(
    ("dtype", "shape", "data", "error"),
    [
        ("float31", (1,), b"1234", ValueError),
        ("float32", (2,), b"1234", ValueError),
        ("float32", (-1,), b"", ValueError),
        ("uint8", (1,) * 33, b"1", TooLarge),
        ("uint8", (0, 2**62), b"", TooLarge),
        ("float32", (1, 2), memoryview(bytes(16)).cast("f")[::2], ValueError),
    ],
)
def test_impossible_tensors_are_refused(dtype, shape, data, error):
    with pytest.raises(error):
        Tensor(dtype, shape, data)


@pytest.mark.parametrize(
    ("dtype", "shape", "block_rows", "sizes"),
    [
        ("float32", (), None, [4]),
        ("float32", (0, 7), None, []),
        ("uint8", (3 * MIB,), None, [MIB] * 3),
        ("float32", (MIB // 4 + 1,), None, [MIB, 4]),
        ("float32", (5, 3 * MIB // 8), None, [3 * MIB // 2] * 5),  # a row of 1.5 MiB is a chunk
        ("uint8", (8, MIB // 2), None, [MIB] * 4),
        ("uint8", (8, MIB // 2), 3, [MIB, MIB // 2, MIB, MIB // 2, MIB]),  # anew at each gate block
        ("uint8", (12, 1000), 3, [3000] * 4),
        ("uint8", (2, CHUNK_LIMIT), None, [CHUNK_LIMIT] * 2),
        ("uint8", (2, CHUNK_LIMIT + 1), None, ([MIB] * 16 + [1]) * 2),  # too long a row: along the next axis
        ("uint8", (1, 3, CHUNK_LIMIT // 2), None, [CHUNK_LIMIT // 2] * 3),
    ],
)
def test_chunks_are_cut_as_the_format_says(dtype, shape, block_rows, sizes):
    assert list(cut(dtype, shape, block_rows)) == sizes


@given(
    dtype=st.sampled_from(sorted(DTYPES)),
    shape=st.lists(st.integers(0, 300), max_size=4).map(tuple),
    block_rows=st.none() | st.integers(1, 400),
)
@settings(max_examples=150, deadline=None)
def test_chunks_make_up_the_tensor_and_stay_within_the_limit(dtype, shape, block_rows):
    total = raw_bytes(dtype, shape)
    if total > 64 * MIB:
        return
    sizes = list(cut(dtype, shape, block_rows))
    assert sum(sizes) == total
    assert all(0 < size <= CHUNK_LIMIT for size in sizes)


def test_chunk_ids_are_those_of_the_format():
    """Golden: an id that changed would store everything again, and orphan what is there."""
    assert chunk_id("float32", b"") == "fe67ad6d812ccc336482de623f48f04d5bc87ece9df05552ec0658f5b69a7cae"
    assert (
        chunk_id("float32", bytes(range(256)))
        == "5590bd2f45cb7f2a9e2e302ec485084aab8c20ae7faece775574af9f6be4deec"
    )
    assert chunk_id("int32", bytes(range(256))) != chunk_id("float32", bytes(range(256)))


def test_a_masked_array_is_refused_as_its_mask_would_be_lost():
    with pytest.raises(ValueError, match="mask"):
        Tensor.from_numpy(np.ma.masked_array([1.0, 2.0], [True, False]))
