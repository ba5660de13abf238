"""Put n things into an order that a key decides, the same on every machine.

k = the first 8 bytes, little-endian, of BLAKE3 of the canonical JSON of the key; things are sorted by
splitmix64's finalizer of k + (i + 1) * 0x9E3779B97F4A7C15 modulo 2**64, then by i.

Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014), constants of
Vigna's splitmix64.c.
"""

from collections.abc import Sequence

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from storage.checkpoints.format.canonical import dumps

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def seed_of(key: Sequence[int | str]) -> int:
    """The 64-bit number that stands for a key such as [seed, epoch]."""
    if all(type(part) is int for part in key):  # as most keys are: the same text, ten times as fast
        text = f"[{','.join(map(str, key))}]".encode()
    else:
        text = dumps(list(key))
    return int.from_bytes(blake3(text).digest(length=8), "little")


def splitmix64(seed: int, n: int) -> NDArray[np.uint64]:
    """[n] the first outputs of the generator that starts at `seed`."""
    z = np.arange(1, n + 1, dtype=np.uint64)
    z *= _GAMMA  # unsigned array arithmetic wraps modulo 2**64, as wanted
    z += np.uint64(seed)
    z ^= z >> np.uint64(30)
    z *= _MIX_1
    z ^= z >> np.uint64(27)
    z *= _MIX_2
    z ^= z >> np.uint64(31)
    return z


def permutation(key: Sequence[int | str], n: int) -> NDArray[np.int64]:
    """[n] which thing stands at each place."""
    # The finalizer is a bijection: no two outputs are equal, so any sort gives the stable one's order.
    order = np.argsort(splitmix64(seed_of(key), n))
    return order.astype(np.int64, copy=False)
