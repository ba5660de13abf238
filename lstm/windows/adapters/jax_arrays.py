"""Arrays for JAX, none of them narrowed unseen."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lstm.windows.errors import WindowError


def to_jax(name: str, array: NDArray[Any]) -> jax.Array:
    """An array on the default device; on a CPU JAX takes memory that is aligned for it without a copy.

    JAX holds 64-bit integers only if told to, and would cut them to 32 bits without a word: so numbers that
    fit are narrowed here, and others refused.

    Raises:
        WindowError: integers that do not fit 32 bits, while `jax_enable_x64` is off.
    """
    if array.dtype == np.int64 and not jax.config.jax_enable_x64:
        narrow = array.astype(np.int32)
        if not np.array_equal(narrow, array):
            raise WindowError(
                f"{name} do not fit JAX's 32-bit integers; call jax.config.update('jax_enable_x64', True) "
                f"before anything else, or leave {name} out of the fields"
            )
        array = narrow
    return jnp.asarray(array)
