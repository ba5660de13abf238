"""Arrays of numbers as values of canonical JSON."""

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(array: NDArray[Any]) -> dict[str, Any]:
    """A one-dimensional array of numbers, little-endian and deflated, as text."""
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {
        "type": plain.dtype.str,
        "length": len(plain),
        "deflated": base64.b64encode(zlib.compress(plain.tobytes(), 6)).decode("ascii"),
    }


def unpack(packed: dict[str, Any], dtype: type[np.generic]) -> NDArray[Any]:
    """The inverse of `pack`, to read only.

    Raises:
        ValueError: another type or length than it says.
    """
    wanted = np.dtype(dtype).newbyteorder("<")
    if packed["type"] != wanted.str:
        raise ValueError(f"expected numbers of type {wanted.str}, found {packed['type']}")
    size = packed["length"] * wanted.itemsize
    # The stated length bounds what is inflated, so that a hostile text cannot fill the memory.
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(base64.b64decode(packed["deflated"], validate=True), size + 1)
    except zlib.error as error:
        raise ValueError(f"deflated numbers are damaged: {error}") from None
    if len(data) != size:
        raise ValueError(f"expected {size} bytes of numbers, found {len(data)}")
    return np.frombuffer(data, wanted).astype(dtype, copy=False)
