"""The pool that each lane of a rank stands in, and the next one, which loads meanwhile."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows.order import EpochOrder
from lstm.windows.shelf import Shelf


@dataclass(frozen=True, slots=True)
class Pool:
    """The windows of one pool, in the order in which they come."""

    order: EpochOrder
    number: int
    first: int
    """Index in its lane of the pool's first window."""
    end: int
    superblocks: NDArray[np.int64]
    windows: "Future[NDArray[np.int64]]"
    """[end - first] plan numbers."""


class Pools:
    """At most two pools per lane: 2·⌈C/W⌉·P superblocks on a rank. Used by one thread."""

    def __init__(
        self,
        shelf: Shelf,
        executor: Executor,
        superblocks: NDArray[np.int64],
        order_of: Callable[[int], EpochOrder],
        *,
        epochs: bool,
    ) -> None:
        """Prepare to walk.

        Args:
            shelf: where blocks are held.
            executor: loads and permutes.
            superblocks: [S] the superblocks that an order's numbers mean.
            order_of: gives the order of an epoch.
            epochs: also load the first pools of the next epoch ahead.
        """
        self._shelf, self._executor, self._superblocks = shelf, executor, superblocks
        self._order_of, self._epochs = order_of, epochs
        self._current: dict[int, Pool] = {}
        self._next: dict[int, Pool] = {}

    def enter(self, order: EpochOrder, indices: Mapping[int, int]) -> dict[int, Pool]:
        """Stand each lane in the pool that holds its window of that index, and load the pools that follow."""
        pools = {lane: self._stand(order, lane, index) for lane, index in indices.items()}
        for pool in pools.values():
            self._shelf.wait(pool.superblocks)
        for lane in indices:
            if lane not in self._next and (following := self._following(lane)):
                self._next[lane] = self._request(*following)
        return pools

    def clear(self) -> None:
        """Give all blocks back."""
        for pools in (self._current, self._next):
            for pool in pools.values():
                self._shelf.release(pool.superblocks)
            pools.clear()

    def _stand(self, order: EpochOrder, lane: int, index: int) -> Pool:
        pool = self._current.get(lane)
        if pool and pool.order is order and pool.first <= index < pool.end:
            return pool
        number = order.pool_at(lane, index)
        ahead = self._next.pop(lane, None)
        if pool:
            self._shelf.release(pool.superblocks)
        if ahead and ahead.order is order and ahead.number == number:
            self._current[lane] = ahead
            return ahead
        if ahead:
            self._shelf.release(ahead.superblocks)
        self._current[lane] = self._request(order, lane, number)
        return self._current[lane]

    def _request(self, order: EpochOrder, lane: int, number: int) -> Pool:
        superblocks = self._superblocks[order.pool_superblocks(lane, number)]
        self._shelf.request(superblocks, order.epoch)
        windows = self._executor.submit(order.pool_windows, lane, number)
        return Pool(order, number, *order.pool_span(lane, number), superblocks, windows)

    def _following(self, lane: int) -> tuple[EpochOrder, int, int] | None:
        pool = self._current[lane]
        if pool.number + 1 < pool.order.pools(lane):
            return pool.order, lane, pool.number + 1
        if self._epochs:
            order = self._order_of(pool.order.epoch + 1)
            if order.pools(lane):
                return order, lane, 0
        return None
