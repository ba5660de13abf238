"""By how much two tensors differ: exact where numbers are whole, and told where some are not finite."""

import math

import numpy as np
import pytest

from storage.checkpoints.restore.measuring import measure, numbers
from storage.checkpoints.tensor import Tensor


def measured(before, after, dtype):
    old, new = np.array(before, dtype), np.array(after, dtype)
    bits = [it.view(np.uint8).reshape(len(it), -1) for it in (old, new)]
    return measure(old, new, (bits[0] != bits[1]).any(axis=1))


@pytest.mark.parametrize(
    ("before", "after", "dtype", "largest"),
    [
        ([2**60 + 10], [2**60 + 11], np.int64, 1),
        ([-(2**63)], [2**63 - 1], np.int64, 2**64 - 1),
        ([2**64 - 1, 5], [0, 5], np.uint64, 2**64 - 1),
        ([-128, 3], [127, 3], np.int8, 255),
        ([3 + 4j], [0], np.complex128, 5.0),
        ([1e300, 0], [-1e300, 0], np.float64, 2e300),
    ],
)
def test_the_largest_difference_is_exact(before, after, dtype, largest):
    found, relative, left_out = measured(before, after, dtype)
    assert (found, left_out) == (largest, 0)
    assert relative is not None
    assert 0 < relative < math.inf


def test_what_is_not_finite_is_counted_and_hides_no_other_number():
    same = math.nan
    largest, relative, left_out = measured([3, same, 4, math.inf], [3, same, 4.5, 1], np.float64)
    assert (largest, left_out) == (0.5, 1)
    assert relative == pytest.approx(0.5 / 5)
    assert measured([math.nan], [1], np.float32) == (None, None, 1)
    assert measured([0, 0], [0, 2], np.float32) == (2.0, None, 0)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "bfloat16"])
def test_numbers_that_numpy_lacks_are_those_of_torch(name):
    torch = pytest.importorskip("torch")
    width = 2 if name == "bfloat16" else 1
    data = np.arange(256**width, dtype=f"<u{width}").tobytes()
    theirs = torch.frombuffer(bytearray(data), dtype=getattr(torch, name)).float().numpy()
    ours = numbers(Tensor(name, (256**width,), data)).astype(np.float32)
    np.testing.assert_array_equal(ours, theirs)
