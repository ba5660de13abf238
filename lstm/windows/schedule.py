"""Which windows make up which batch: positions of an epoch, and whose they are."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows.order import EpochOrder
from lstm.windows.plan import Plan
from lstm.windows.spec import Split

_ORDERS_KEPT = 3
"""The current epoch, the next one (loading ahead), and one that is replayed."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which windows of a batch are a rank's, [b] each, in the order in which they come."""

    epoch: int
    index: int
    size: int
    positions: NDArray[np.int64]
    order: EpochOrder
    lanes: NDArray[np.int64]
    indices: NDArray[np.int64]
    """Of the windows in their lanes."""


class Schedule:
    """Which windows make up which batch, for one rank. Not for several threads at once."""

    def __init__(
        self, plan: Plan, split: Split, *, seed: int, batch_size: int, rank: int, ranks: int, shuffled: bool
    ) -> None:
        """Everything but the data."""
        self.windows = plan.split_windows(split)
        self._plan, self._seed, self._batch_size = plan, seed, batch_size
        self._rank, self._ranks, self._shuffled = rank, ranks, shuffled
        self._orders: OrderedDict[int, EpochOrder] = OrderedDict()
        total, last = self.windows.total, plan.order.last
        self.batches = total // batch_size if last == "drop" else -(-total // batch_size)
        self.samples = total if last == "short" else self.batches * batch_size
        """Positions of an epoch that batches cover; with `wrap`, those that come twice count twice."""

    def order(self, epoch: int) -> EpochOrder:
        """The order of an epoch; lays it out unless it is at hand."""
        if epoch in self._orders:
            self._orders.move_to_end(epoch)
            return self._orders[epoch]
        spec = self._plan.order
        self._orders[epoch] = order = EpochOrder(
            self.windows.counts,
            lanes=spec.lanes,
            pool=spec.pool if self._shuffled else 1,  # in plan order pools change nothing but memory
            seed=self._seed,
            epoch=epoch,
            shuffled=self._shuffled,
        )
        if len(self._orders) > _ORDERS_KEPT:
            self._orders.popitem(last=False)
        return order

    def part(self, epoch: int, index: int) -> Part:
        """This rank's windows of a batch."""
        order = self.order(epoch)
        start = index * self._batch_size
        stop = min(start + self._batch_size, self.samples)
        merged = [order.merge(start, min(stop, order.windows))]
        missing = stop - max(start, order.windows)
        while missing > 0:  # `wrap`: the epoch's first windows once more
            merged.append(order.merge(0, min(missing, order.windows)))
            missing -= order.windows
        lanes = np.concatenate([part.lanes for part in merged])
        own = lanes % self._ranks == self._rank
        return Part(
            epoch=epoch,
            index=index,
            size=stop - start,
            positions=np.concatenate([part.positions for part in merged])[own],
            order=order,
            lanes=lanes[own],
            indices=np.concatenate([part.indices for part in merged])[own],
        )
