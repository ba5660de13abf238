"""A tensor as a repository knows it: a dtype's name, a shape, and its bytes. No framework is needed.

Bytes are C-contiguous and little-endian, and are never interpreted: -0.0 and NaN payloads stay what they are.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from storage.checkpoints.errors import TooLarge

Buffer = bytes | bytearray | memoryview

DTYPES = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "bfloat16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
"""Bytes of one element."""

MAX_AXES = 32
_NOT_IN_NUMPY = frozenset({"bfloat16", "float8_e4m3fn", "float8_e5m2"})


@dataclass(frozen=True, slots=True)
class Tensor:
    """One named thing's value. Two are equal if dtype, shape and every byte are."""

    dtype: str
    """One of `DTYPES`; torch's names."""
    shape: tuple[int, ...]
    data: Buffer = field(repr=False)
    """C-contiguous little-endian bytes; not copied, so do not change them while a save runs."""
    block_rows: int | None = field(default=None, compare=False)
    """Rows of the first axis per gate block (an LSTM's weights of 4H rows: H); chunks start anew at each."""

    def __post_init__(self) -> None:
        check_geometry(self.dtype, self.shape, self.block_rows)
        data = memoryview(self.data)
        if not data.c_contiguous:
            raise ValueError(f"a tensor's bytes must be C-contiguous, got strides {data.strides}")
        if data.nbytes != self.nbytes:
            raise ValueError(
                f"{self.dtype} of shape {list(self.shape)} takes {self.nbytes} bytes, got {data.nbytes}"
            )
        flat = data.cast("B") if data.nbytes else memoryview(b"")  # an empty view cannot be cast
        object.__setattr__(self, "data", flat.toreadonly())

    @property
    def nbytes(self) -> int:
        """Raw bytes."""
        return raw_bytes(self.dtype, self.shape)

    @classmethod
    def from_numpy(cls, array: npt.NDArray[Any], *, block_rows: int | None = None) -> Self:
        """A view of `array`'s bytes, or of a copy where it is not contiguous or big-endian.

        Dtypes of ml_dtypes (bfloat16, float8) are fine: those of JAX, and of TensorFlow's `numpy()`.

        Raises:
            ValueError: a masked array, whose mask would be lost; a structured one, or one of Python objects.
        """
        if isinstance(array, np.ma.MaskedArray):
            raise ValueError(
                "a masked array's mask cannot be stored: save `.data` and `.mask` as two tensors"
            )
        if array.dtype.names is not None:
            raise ValueError(
                f"a structured array cannot be stored: save its fields {', '.join(array.dtype.names)} as"
                " tensors of their own"
            )
        if array.dtype.name not in DTYPES:
            raise ValueError(f"dtype {str(array.dtype)!r} cannot be stored; allowed: {', '.join(DTYPES)}")
        if array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("<"))
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return cls(array.dtype.name, array.shape, flat.data, block_rows)

    def to_numpy(self) -> npt.NDArray[Any]:
        """A read-only view of the bytes as an array.

        Raises:
            ValueError: bfloat16 or float8, which NumPy has not, and ml_dtypes is not installed.
        """
        dtype = _beside_numpy(self.dtype) if self.dtype in _NOT_IN_NUMPY else np.dtype(self.dtype)
        if dtype.itemsize > 1:
            dtype = dtype.newbyteorder("<")
        return np.frombuffer(self.data, dtype).reshape(self.shape)


def _beside_numpy(name: str) -> np.dtype[Any]:
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        raise ValueError(
            f"numpy has no {name}: pip install ml_dtypes, or view the bytes with torch.frombuffer"
        ) from None
    dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return dtype


def check_geometry(dtype: str, shape: tuple[int, ...], block_rows: int | None) -> None:
    """Refuse what cannot be a tensor's dtype and shape. Raises ValueError, TooLarge."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} cannot be stored; allowed: {', '.join(DTYPES)}")
    if len(shape) > MAX_AXES or any(length >= 2**62 for length in shape):
        raise TooLarge(f"shape {list(shape)[:40]} is too large: at most {MAX_AXES} axes, each below 2^62")
    if any(length < 0 for length in shape):
        raise ValueError(f"every length of a shape must be >= 0, got {list(shape)}")
    if block_rows is not None and (block_rows < 1 or not shape):
        raise ValueError(f"block_rows must be >= 1 row of a first axis, got {block_rows} for {list(shape)}")


def raw_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor."""
    return DTYPES[dtype] * math.prod(shape)
