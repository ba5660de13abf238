"""Which windows make up which batch: positions of an epoch, and whose they are."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows.order.order import EpochOrder, Merged
from lstm.windows.plan.plan import Plan
from lstm.windows.plan.superblocks import SplitWindows
from lstm.windows.spec import Split

_ORDERS_KEPT = 3
"""The current epoch, the next one (loading ahead), and one that is replayed."""
_AT_ONCE = 1 << 14
"""Positions of batches whose windows are found in one go, so that each costs little."""


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


@dataclass(frozen=True, slots=True)
class Parts:
    """The same of batches that follow one another, end to end."""

    first: int
    """Index of the first batch."""
    size: int
    """Windows of each batch, over all ranks."""
    order: EpochOrder
    merged: Merged
    ends: list[int]
    """0, and where each batch ends among the windows."""

    def __len__(self) -> int:
        return len(self.ends) - 1

    def part(self, number: int) -> Part:
        """Of the batch of that number, from 0."""
        here, merged = slice(*self.ends[number : number + 2]), self.merged
        return Part(
            epoch=self.order.epoch,
            index=self.first + number,
            size=self.size,
            positions=merged.positions[here],
            order=self.order,
            lanes=merged.lanes[here],
            indices=merged.indices[here],
        )


class Schedule:
    """Which windows make up which batch, for one rank. Not for several threads at once."""

    def __init__(
        self, plan: Plan, split: Split, *, seed: int, batch_size: int, rank: int, ranks: int, shuffled: bool
    ) -> None:
        """Everything but the data."""
        self.windows = plan.split_windows(split)
        self._plan, self._seed, self._batch_size = plan, seed, batch_size
        self._rank, self._ranks, self._shuffled = rank, ranks, shuffled
        self.pool = plan.order.pool if shuffled else 1  # in plan order pools change nothing but memory
        self._weighted = plan.weighted(split) if shuffled else None  # in plan order each window comes once
        self._epochs: OrderedDict[int, tuple[EpochOrder, SplitWindows]] = OrderedDict()

    def batches(self, epoch: int) -> int:
        """How many an epoch has."""
        total = self._windows_in(epoch)
        return total // self._batch_size if self._plan.order.last == "drop" else -(-total // self._batch_size)

    def samples(self, epoch: int) -> int:
        """Positions of an epoch that batches cover; with `wrap`, those that come twice count twice."""
        last = self._plan.order.last
        return self._windows_in(epoch) if last == "short" else self.batches(epoch) * self._batch_size

    def _windows_in(self, epoch: int) -> int:
        return self.windows.total if self._weighted is None else self._weighted.total(self._seed, epoch)

    def order(self, epoch: int) -> EpochOrder:
        """The order of an epoch; lays it out unless it is at hand."""
        return self._laid_out(epoch)[0]

    def windows_at(self, epoch: int) -> SplitWindows:
        """The windows that the order of an epoch numbers: those of the split, each as often as it comes."""
        return self._laid_out(epoch)[1]

    def entries(self, epoch: int) -> NDArray[np.float64]:
        """[S] how far an epoch is when the pool of each of the split's superblocks is entered; inf: never."""
        entered = np.full(len(self.windows.superblocks), np.inf)
        entered[np.searchsorted(self.windows.superblocks, self.windows_at(epoch).superblocks)] = self.order(
            epoch
        ).entries()
        return entered

    def _laid_out(self, epoch: int) -> tuple[EpochOrder, SplitWindows]:
        if epoch in self._epochs:
            self._epochs.move_to_end(epoch)
            return self._epochs[epoch]
        spec = self._plan.order
        windows = self.windows if self._weighted is None else self._weighted.at(self._seed, epoch)
        order = EpochOrder(
            windows.counts,
            lanes=spec.lanes,
            pool=self.pool,
            seed=self._seed,
            epoch=epoch,
            shuffled=self._shuffled,
        )
        self._epochs[epoch] = order, windows
        if len(self._epochs) > _ORDERS_KEPT:
            self._epochs.popitem(last=False)
        return self._epochs[epoch]

    def part(self, epoch: int, index: int) -> Part:
        """This rank's windows of a batch."""
        order = self.order(epoch)
        start = index * self._batch_size
        stop = min(start + self._batch_size, self.samples(epoch))
        merged = [self._own(order, start, min(stop, order.windows))]
        missing = stop - max(start, order.windows)
        while missing > 0:  # `wrap`: the epoch's first windows once more
            merged.append(self._own(order, 0, min(missing, order.windows)))
            missing -= order.windows
        return Part(
            epoch=epoch,
            index=index,
            size=stop - start,
            positions=np.concatenate([part.positions for part in merged]),
            order=order,
            lanes=np.concatenate([part.lanes for part in merged]),
            indices=np.concatenate([part.indices for part in merged]),
        )

    def parts(self, epoch: int, index: int) -> Parts:
        """The same of that batch and some that follow it, found in one go."""
        order, size = self.order(epoch), self._batch_size
        start = index * size
        whole = min(max(1, _AT_ONCE // size), order.windows // size - index)
        if whole < 1:
            part = self.part(epoch, index)
            merged = Merged(part.positions, part.lanes, part.indices)
            return Parts(index, part.size, order, merged, [0, len(part.positions)])
        own = self._own(order, start, start + whole * size)
        ends = np.searchsorted(own.positions, start + size * np.arange(whole + 1)).tolist()
        return Parts(index, size, order, own, ends)

    def _own(self, order: EpochOrder, start: int, stop: int) -> Merged:
        """This rank's windows among positions start … stop-1."""
        merged = order.merge(start, stop)
        if self._ranks == 1:
            return merged
        own = merged.lanes % self._ranks == self._rank
        return Merged(merged.positions[own], merged.lanes[own], merged.indices[own])
