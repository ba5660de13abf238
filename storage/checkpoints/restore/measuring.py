"""By how much the numbers of two tensors of one dtype differ."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.checkpoints.tensor import Tensor


def numbers(tensor: Tensor) -> NDArray[Any]:
    """A tensor's numbers in a dtype of NumPy that holds each exactly; ml_dtypes is not needed."""
    if tensor.dtype == "bfloat16":
        return (np.frombuffer(tensor.data, "<u2").astype(np.uint32) << 16).view(np.float32)
    if tensor.dtype == "float8_e5m2":  # the upper half of a float16
        return (np.frombuffer(tensor.data, np.uint8).astype(np.uint16) << 8).view(np.float16)
    if tensor.dtype == "float8_e4m3fn":
        return _E4M3FN[np.frombuffer(tensor.data, np.uint8)]
    return tensor.to_numpy().view(np.uint8) if tensor.dtype == "bool" else tensor.to_numpy()


def measure(
    before_N: NDArray[Any], after_N: NDArray[Any], differs_N: NDArray[np.bool_]
) -> tuple[float | None, float | None, int]:
    """How far numbers lie apart.

    Args:
        before_N: [N] of any dtype.
        after_N: [N] of the same dtype.
        differs_N: [N], where their bits differ.

    Returns:
        The largest absolute difference of finite numbers (exact for whole ones; None: there are none),
        the root mean square of these differences ÷ that of the numbers before (None: that is 0), and how many
        numbers differ and are not finite in either.
    """
    if before_N.dtype.kind in "iu":
        gap_N = _gaps(before_N, after_N)
        return int(gap_N.max()), _ratio(gap_N.astype(np.float64), before_N.astype(np.float64)), 0
    wide = np.complex128 if before_N.dtype.kind == "c" else np.float64
    old_N, new_N = before_N.astype(wide), after_N.astype(wide)
    finite_N = np.isfinite(old_N) & np.isfinite(new_N)
    left_out = int(np.count_nonzero(differs_N & ~finite_N))
    if not finite_N.any():
        return None, None, left_out
    old_N, new_N = old_N[finite_N], new_N[finite_N]
    with np.errstate(over="ignore"):  # of 1e308 and -1e308 it is infinite
        gap_N = np.abs(new_N - old_N)
    return float(gap_N.max()), _ratio(gap_N, np.abs(old_N)), left_out


def _gaps(before_N: NDArray[Any], after_N: NDArray[Any]) -> NDArray[np.uint64]:
    """Absolute differences of whole numbers: modulo 2^64 they are exact, also of -2^63 and 2^63 - 1."""
    low_N, high_N = np.minimum(before_N, after_N), np.maximum(before_N, after_N)
    gap_N: NDArray[np.uint64] = high_N.astype(np.uint64) - low_N.astype(np.uint64)
    return gap_N


def _ratio(gap_N: NDArray[np.float64], old_N: NDArray[np.float64]) -> float | None:
    size = _rms(old_N)
    return _rms(gap_N) / size if size else None


def _rms(values_N: NDArray[np.float64]) -> float:
    """Root mean square; squares neither overflow nor vanish."""
    largest = float(np.abs(values_N).max())
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.mean(np.square(values_N / largest))))


def _e4m3fn() -> NDArray[np.float32]:
    """The 256 numbers of float8_e4m3fn: no infinity, two NaNs. Source: arXiv:2209.05433, table 1."""
    bits = np.arange(256)
    power, fraction = (bits >> 3) & 15, bits & 7
    size = np.where(power == 0, fraction * 2.0**-9, (1 + fraction / 8) * 2.0 ** (power - 7.0))
    size[(bits & 127) == 127] = np.nan
    return np.where(bits & 128, -size, size).astype(np.float32)


_E4M3FN = _e4m3fn()
