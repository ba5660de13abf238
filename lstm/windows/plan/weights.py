"""Sample series by weight: in epoch e each training window of series i comes ⌊w_i + u⌋ times.

u is the hash of the permutation (`permute`) for the key [seed, e, "weight"] at i, ÷ 2⁶⁴: so on average a
window comes w_i times, and no state is kept. Weights are whole multiples of 2⁻³², so that this is exact.

A temperature t draws series of n_i windows in proportion to n_i^(1/t): w_i = s·n_i^(1/t − 1), where s leaves
the mean length of an epoch what it is without (t = 1). Source of the temperature: Devlin et al., multilingual
BERT (2018), "exponentially smoothed weighting"; Arivazhagan et al., Massively Multilingual Neural Machine
Translation in the Wild (2019), section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.permute import seed_of, splitmix64
from lstm.windows.errors import EmptySplit, WindowError
from lstm.windows.index.runs import Entity
from lstm.windows.plan.superblocks import SplitWindows, windows_of
from lstm.windows.spec import OrderSpec

_PARTS = 2.0**32


def weights_of(
    order: OrderSpec, series: Sequence[Entity], windows: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """[s] weight of each series; None: every window comes once.

    Args:
        order: says them.
        series: entities by number.
        windows: [s] training windows of each.

    Raises:
        WindowError: an entity that the table does not have, or an epoch that would hold nothing.
    """
    if order.temperature == 1.0 and not order.weights:
        return None
    weights = np.zeros(len(series))
    held = windows > 0
    smoothed = windows[held].astype(np.float64) ** (1 / order.temperature - 1)
    weights[held] = smoothed * (windows.sum() / (windows[held] * smoothed).sum())
    places = {str(entity): place for place, entity in enumerate(series)}
    if unknown := sorted(set(order.weights) - set(places)):
        raise WindowError(
            f"order.weights names {', '.join(map(repr, unknown))}, but the table has no such entity "
            f"among its {len(series)}"
        )
    for name, weight in order.weights.items():
        weights[places[name]] *= weight
    weights = np.round(weights * _PARTS) / _PARTS
    if (weights * windows).sum() < 1:
        raise WindowError("with order.weights as they are an epoch would hold no window; raise some of them")
    return weights


def repeats_of(weights: NDArray[np.float64], seed: int, epoch: int) -> NDArray[np.int64]:
    """[s] how often each window of a series comes in an epoch."""
    parts = np.round(weights * _PARTS).astype(np.uint64)
    whole, rest = parts >> np.uint64(32), parts << np.uint64(32)  # the rest in units of 2⁻⁶⁴
    drawn = splitmix64(seed_of([seed, epoch, "weight"]), len(weights))
    carried = (rest > 0) & (drawn >= (~rest + np.uint64(1)))  # rest + drawn reaches 2⁶⁴
    return whole.astype(np.int64) + carried


@dataclass(frozen=True, slots=True)
class Weighted:
    """The windows of a split, by superblock and series: what an epoch's repeats are counted with."""

    windows: SplitWindows
    weights: NDArray[np.float64]
    by_series: NDArray[np.int64]
    """[s] windows of each series."""
    superblock: NDArray[np.int64]
    series: NDArray[np.int64]
    counts: NDArray[np.int64]
    """[r] windows that a superblock and a series have in common."""

    @classmethod
    def of(
        cls, windows: SplitWindows, weights: NDArray[np.float64], by_series: NDArray[np.int64]
    ) -> "Weighted":
        """Look at every run once: 24 bytes each."""
        found = []
        for numbers, parts in windows.layout.all_parts():
            runs = windows.runs(parts)
            series, _ = windows.layout.segments.within_series(runs.start)
            found.append((numbers[runs.owner], series, runs.counts))
        return cls(windows, weights, by_series, *(np.concatenate(it) for it in zip(*found, strict=True)))

    def total(self, seed: int, epoch: int) -> int:
        """How many windows come in an epoch."""
        return int((repeats_of(self.weights, seed, epoch) * self.by_series).sum())

    def at(self, seed: int, epoch: int) -> SplitWindows:
        """The windows of an epoch, its repeats beside each other; superblocks without any are left out.

        Raises:
            EmptySplit: the epoch has none.
        """
        windows = self._repeated(repeats_of(self.weights, seed, epoch))
        if not windows.total:
            raise EmptySplit(
                f"epoch {epoch} holds no window: the weights of series are too small; raise them"
            )
        return windows

    def most(self) -> SplitWindows:
        """As many as any epoch has of each superblock, at most: memory is set aside for them."""
        return self._repeated(np.ceil(self.weights).astype(np.int64))

    def _repeated(self, repeats: NDArray[np.int64]) -> SplitWindows:
        windows, counts = self.windows, np.zeros(len(self.windows.layout), np.int64)
        np.add.at(counts, self.superblock, self.counts * repeats[self.series])
        return windows_of(windows.layout, counts, windows.ranges, windows.stride, repeats)
