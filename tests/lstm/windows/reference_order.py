"""The order of an epoch, written from DESIGN.md alone and slowly, to compare the real one with."""

import json
from fractions import Fraction

from blake3 import blake3

WORD = 2**64


def hashed(key, n):
    """The numbers that a permutation of n things by a key sorts by."""
    text = json.dumps(key, separators=(",", ":")).encode()
    k = int.from_bytes(blake3(text).digest()[:8], "little")

    def finalizer(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
        return z ^ (z >> 31)

    return [finalizer((k + (i + 1) * 0x9E3779B97F4A7C15) % WORD) for i in range(n)]


def permuted(things, key):
    numbers = hashed(key, len(things))
    return [things[i] for i in sorted(range(len(things)), key=lambda i: (numbers[i], i))]


def epoch_order(superblocks, lanes, pool_size, seed, epoch, shuffled=True):
    """[(window, lane)] by position; `superblocks` lists the windows of each, in plan order."""
    mix = permuted if shuffled else lambda things, key: list(things)
    held = [[] for _ in range(lanes)]
    for superblock in mix([s for s in superblocks if s], [seed, epoch]):
        fewest = min(range(lanes), key=lambda lane: (sum(map(len, held[lane])), lane))
        held[fewest].append(superblock)
    merged = []
    for lane, mine in enumerate(held):
        windows = []
        for pool, first in enumerate(range(0, len(mine), pool_size)):
            inside = [window for superblock in mine[first : first + pool_size] for window in superblock]
            windows += mix(inside, [seed, epoch, lane, pool])
        n = len(windows)
        merged += [(Fraction(2 * i + 1, 2 * n), lane, window) for i, window in enumerate(windows)]
    return [(window, lane) for _, lane, window in sorted(merged, key=lambda item: item[:2])]
