"""Put n things into an order that a key decides, the same on every machine.

k = the first 8 bytes, little-endian, of BLAKE3 of the canonical JSON of the key; things are sorted by
splitmix64's finalizer of k + (i + 1) * 0x9E3779B97F4A7C15 modulo 2**64, then by i.

Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014), constants of
Vigna's splitmix64.c.
"""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from storage.checkpoints.format.canonical import dumps

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_TOGETHER = 1 << 11
"""Things of permutations that are worked out together, unless one has more."""


def seed_of(key: Sequence[int | str]) -> int:
    """The 64-bit number that stands for a key such as [seed, epoch]."""
    if all(type(part) is int for part in key):  # as most keys are: the same text, ten times as fast
        text = f"[{','.join(map(str, key))}]".encode()
    else:
        text = dumps(list(key))
    return int.from_bytes(blake3(text).digest(length=8), "little")


def splitmix64(seed: int, n: int) -> NDArray[np.uint64]:
    """[n] the first outputs of the generator that starts at `seed`."""
    return _outputs(np.arange(1, n + 1, dtype=np.uint64), np.uint64(seed))


def _outputs(z: NDArray[np.uint64], seed: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """Outputs of those numbers, from 1, of generators that start at `seed`; in the place of the numbers."""
    z *= _GAMMA  # unsigned array arithmetic wraps modulo 2**64, as wanted
    z += seed
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


def permutations(keys: Sequence[Sequence[int | str]], sizes: Sequence[int]) -> NDArray[np.int64]:
    """The permutations of these keys and sizes, end to end; each goes on counting where the one before ends.

    Small ones are worked out together, as calls cost more than they do; larger arrays would leave the cache.
    """
    order = np.empty(sum(sizes), np.int64)
    seeds = np.array([seed_of(key) for key in keys], np.uint64)
    ends = np.cumsum(sizes, dtype=np.int64).tolist()
    first, begin = 0, 0
    while first < len(sizes):
        last = max(first + 1, bisect_right(ends, begin + _TOGETHER))
        own = sizes[first:last]
        begins = [end - size for end, size in zip(ends[first:last], own, strict=True)]
        if len(own) == 1:
            outputs = splitmix64(int(seeds[first]), own[0])
        else:
            numbers = np.arange(begin + 1, ends[last - 1] + 1) - np.repeat(begins, own)
            outputs = _outputs(numbers.view(np.uint64), np.repeat(seeds[first:last], own))
        for a, b in zip(begins, ends[first:last], strict=True):
            np.add(np.argsort(outputs[a - begin : b - begin]), a, out=order[a:b])
        first, begin = last, ends[last - 1]
    return order
