"""The order of an epoch: which window stands at which position, at any number of ranks.

Superblocks, permuted, go to lanes; windows are permuted inside pools of a lane's superblocks; lanes are
merged by the rational keys (2i+1)/(2n) of their windows. Superblocks count only if they hold windows, from 0,
and windows are numbered in plan order: superblock by superblock, then by first row.

Words: *position*, place of a window in the epoch; *index*, place of a window in its lane.
What must hold: ARCHITECTURE.md#what-must-hold
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.compiled import LOOPS, MOST_PASSED
from lstm.windows.arrays.permute import permutation, permutations

_DIGIT = 20
_DIGITS = 5
_MOST_WINDOWS = 1 << 42  # per lane: a remainder shifted by one digit must fit 63 bits
_FLOATS_DIFFER = 1 << 25  # windows per lane up to which keys that differ do so as 64-bit floats


@dataclass(frozen=True, slots=True)
class Merged:
    """Successive positions of an epoch: whose windows they are."""

    positions: NDArray[np.int64]
    lanes: NDArray[np.int64]
    indices: NDArray[np.int64]


class EpochOrder:
    """One epoch, laid out in O(S log C) for S superblocks; then any place is found in O(C log n)."""

    def __init__(
        self,
        counts: NDArray[np.int64],
        *,
        lanes: int,
        pool: int,
        seed: int,
        epoch: int,
        shuffled: bool = True,
    ) -> None:
        """Lay the epoch out.

        Args:
            counts: [S] windows of each superblock, all >= 1.
            lanes: sub-streams.
            pool: superblocks of a lane whose windows are shuffled together.
            seed: of the run.
            epoch: from 0.
            shuffled: False: every permutation is the identity, so each lane walks in plan order.
        """
        self.lanes, self.pool, self.seed, self.epoch, self.shuffled = lanes, pool, seed, epoch, shuffled
        self.windows = int(counts.sum())
        order = permutation([seed, epoch], len(counts)) if shuffled else np.arange(len(counts))
        lane_of = deal(counts[order], lanes)
        self._counts = counts
        self._first_number = np.cumsum(counts) - counts
        self._superblocks = order[np.argsort(lane_of, kind="stable")]
        sizes = np.bincount(lane_of, minlength=lanes)
        self._lane_first: list[int] = [0, *np.cumsum(sizes).tolist()]
        self._before = np.concatenate([[0], np.cumsum(counts[self._superblocks])])
        bounds = self._before[self._lane_first]
        self.lane_windows: list[int] = [int(n) for n in np.diff(bounds)]
        """Windows of each lane."""
        self._passed = passed(np.array(self.lane_windows))
        assert max(self.lane_windows) < _MOST_WINDOWS

    def merge(self, start: int, stop: int) -> Merged:
        """Find whose windows stand at positions start … stop-1. Costs O((stop - start + C) log).

        The lanes' windows with keys <= a/N number floor(a·n/N + 1/2) each, so between a - C/2 and a + C/2 in
        all: keys in ((start - C)/N, (stop + C)/N] are sure to hold the positions asked for, and a few more.
        """
        total, lanes, windows = self.windows, self.lanes, self.lane_windows
        low = max(0, start - lanes)
        first = np.array([(2 * low * n + total) // (2 * total) for n in windows], np.int64)
        skipped, counts = start - int(first.sum()), np.array(windows, np.int64)
        if LOOPS is not None and self._passed <= MOST_PASSED and counts.max() <= _FLOATS_DIFFER:
            return Merged(np.arange(start, stop), *LOOPS.merge(counts, first, skipped, stop - start))
        high = min(total, stop + lanes)
        last = np.array([(2 * high * n + total) // (2 * total) for n in windows], np.int64)
        sizes = last - first
        lane = np.repeat(np.arange(lanes), sizes)
        index = np.arange(len(lane)) - np.repeat(np.cumsum(sizes) - sizes - first, sizes)
        chosen = _by_key(lane, index, counts)[skipped : skipped + stop - start]
        return Merged(np.arange(start, stop), lane[chosen], index[chosen])

    def entries(self) -> NDArray[np.float64]:
        """[S] how far the epoch is, from 0 to 1, when the pool of each superblock is entered."""
        entered = np.empty(len(self._counts))
        for lane in range(self.lanes):
            first, end = self._lane_first[lane : lane + 2]
            opens = first + (np.arange(end - first) // self.pool) * self.pool
            index = self._before[opens] - self._before[first]
            entered[self._superblocks[first:end]] = (2 * index + 1) / (2 * max(1, self.lane_windows[lane]))
        return entered

    def pools(self, lane: int) -> int:
        """How many pools a lane has."""
        return -(-(self._lane_first[lane + 1] - self._lane_first[lane]) // self.pool)

    def pool_at(self, lane: int, index: int) -> int:
        """The pool of a lane that holds its window `index`."""
        first, end = self._lane_first[lane], self._lane_first[lane + 1]
        before = self._before[first : end + 1]
        return (int(np.searchsorted(before, before[0] + index, side="right")) - 1) // self.pool

    def pool_span(self, lane: int, pool: int) -> tuple[int, int]:
        """Indices [first, end) in its lane of a pool's windows."""
        a, b = self._pool_slice(lane, pool)
        origin = self._before[self._lane_first[lane]]
        return int(self._before[a] - origin), int(self._before[b] - origin)

    def pool_superblocks(self, lane: int, pool: int) -> NDArray[np.int64]:
        """Superblocks of a pool, in the lane's order."""
        a, b = self._pool_slice(lane, pool)
        superblocks: NDArray[np.int64] = self._superblocks[a:b]
        return superblocks

    def pool_windows(self, lane: int, pool: int) -> NDArray[np.int64]:
        """Plan numbers of a pool's windows, in the order in which they come."""
        return self.pool_numbers(lane, pool)[self.pool_order(lane, pool)]

    def pool_numbers(self, lane: int, pool: int) -> NDArray[np.int64]:
        """The same in the lane's order of superblocks."""
        superblocks = self.pool_superblocks(lane, pool)
        counts = self._counts[superblocks]
        ends = np.cumsum(counts)
        numbers: NDArray[np.int64] = np.arange(ends[-1]) + np.repeat(
            self._first_number[superblocks] - (ends - counts), counts
        )
        return numbers

    def pool_order(self, lane: int, pool: int) -> NDArray[np.int64]:
        """Which of `pool_numbers` comes at each place."""
        first, end = self.pool_span(lane, pool)
        if self.shuffled:
            return permutation([self.seed, self.epoch, lane, pool], end - first)
        return np.arange(end - first)

    def pool_orders(self, pools: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
        """The `pool_order` of several (lane, pool), end to end, each counted on from where it begins."""
        spans = [self.pool_span(lane, pool) for lane, pool in pools]
        sizes = [end - first for first, end in spans]
        if self.shuffled:
            return permutations([[self.seed, self.epoch, *pool] for pool in pools], sizes)
        return np.arange(sum(sizes))

    def _pool_slice(self, lane: int, pool: int) -> tuple[int, int]:
        a = self._lane_first[lane] + pool * self.pool
        return a, min(a + self.pool, self._lane_first[lane + 1])


def deal(counts: NDArray[np.int64], lanes: int) -> NDArray[np.int64]:
    """Give superblocks one by one to the lane with the fewest windows so far; ties go to the lowest."""
    heap = [(0, lane) for lane in range(lanes)]  # sorted, hence a heap
    lane_of = np.empty(len(counts), np.int64)
    for place, count in enumerate(counts.tolist()):
        windows, lane = heap[0]
        lane_of[place] = lane
        heapq.heapreplace(heap, (windows + count, lane))
    return lane_of


def passed(n: NDArray[np.int64]) -> float:
    """How many lanes, on average, wait for a later key than the one to which a lane of n windows steps on.

    A lane of m < n windows does with probability 1 - m/n: its keys are 1/m apart, and the step is 1/n. So it
    is the sum of n - m over all pairs ÷ the windows of all lanes.
    """
    n = np.sort(n[n > 0])
    more = 2 * np.arange(len(n)) - (len(n) - 1)  # lanes of fewer windows than each has, less those of more
    return float(n / n.sum() @ more)


def _by_key(lane: NDArray[np.int64], index: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.intp]:
    """Sort windows, given lane by lane, by (key, lane), exactly.

    Two keys of lanes of n and n' windows are equal, or differ by at least 1/(4·n·n'), which is 2**-52 for
    2**25 windows. Below 1 rounding moves a quotient by at most 2**-54: it keeps them apart and in order.
    """
    if n.max() <= _FLOATS_DIFFER:
        return np.argsort((2 * index + 1) / (2 * n)[lane], kind="stable")
    big, small = _key_digits(index, n[lane])
    return np.lexsort((lane, small, big))


def _key_digits(
    index: NDArray[np.int64], n: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first 100 binary digits of (2·index+1)/(2n), as (60 digits, 40 digits), by long division.

    Two keys that differ do so by at least 1/(4·n·n') >= 2**-86, hence within these digits; floating point
    would tie from n = 2**25 on.
    """
    rest, divisor = 2 * index + 1, 2 * n
    digits = []
    for _ in range(_DIGITS):
        digit, rest = np.divmod(rest << _DIGIT, divisor)
        digits.append(digit)
    a, b, c, d, e = digits
    return (a << 2 * _DIGIT) | (b << _DIGIT) | c, (d << _DIGIT) | e
