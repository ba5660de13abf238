"""How often a stream's row groups are fetched: once per epoch, where memory allows."""

import threading
from collections.abc import Mapping


class Fetches:
    """Counts, epoch by epoch, what blocks needed of row groups and what was fetched for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._needed: dict[int, dict[int, int]] = {}
        self._passed = 0
        self._fetched = 0

    def count(self, epoch: int, unit: int, needed: int, fetched: int) -> None:
        """A block of `epoch` needed a unit, which counts once per epoch, and so much was fetched for it.

        Units are row groups, counted by number, or where parts of these are read superblocks, by rows.
        """
        with self._lock:
            units = self._of(epoch)
            units[unit] = max(needed, units.get(unit, 0))
            self._fetched += fetched

    def had(self, epoch: int, needs: Mapping[int, int]) -> None:
        """Blocks of `epoch` needed so much of these units, and had it."""
        with self._lock:
            units = self._of(epoch)
            for unit, needed in needs.items():
                units[unit] = max(needed, units.get(unit, 0))

    def _of(self, epoch: int) -> dict[int, int]:
        if epoch not in self._needed:
            # blocks are loaded one epoch ahead at most: older ones are complete
            self._pass([old for old in self._needed if old < epoch - 1])
            self._needed[epoch] = {}
        return self._needed[epoch]

    def start_over(self) -> None:
        """The stream goes elsewhere: what an epoch had needed so far, it needs again."""
        with self._lock:
            self._pass(list(self._needed))

    @property
    def amplification(self) -> float:
        """Fetched ÷ needed, the latter counted once per epoch; 0.0 at first."""
        with self._lock:
            needed = self._passed + sum(sum(units.values()) for units in self._needed.values())
            return self._fetched / needed if needed else 0.0

    def _pass(self, epochs: list[int]) -> None:
        for epoch in epochs:
            self._passed += sum(self._needed.pop(epoch).values())
