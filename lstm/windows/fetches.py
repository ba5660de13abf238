"""How often a stream's row groups are fetched: once per epoch, where memory allows."""

import threading


class Fetches:
    """Counts, epoch by epoch, the row groups that blocks needed and those that were fetched for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._needed: dict[int, set[int]] = {}
        self._passed = 0
        self._fetched = 0

    def count(self, epoch: int, group: int, *, fetched: bool) -> None:
        """A block of `epoch` needed a row group: it was fetched for it, or somebody held it already."""
        with self._lock:
            if epoch not in self._needed:
                # blocks are loaded one epoch ahead at most: older ones are complete
                self._pass([old for old in self._needed if old < epoch - 1])
                self._needed[epoch] = set()
            self._needed[epoch].add(group)
            self._fetched += fetched

    def start_over(self) -> None:
        """The stream goes elsewhere: what an epoch had needed so far, it needs again."""
        with self._lock:
            self._pass(list(self._needed))

    @property
    def amplification(self) -> float:
        """Row groups fetched ÷ row groups needed, these counted once per epoch; 0.0 at first."""
        with self._lock:
            needed = self._passed + sum(map(len, self._needed.values()))
            return self._fetched / needed if needed else 0.0

    def _pass(self, epochs: list[int]) -> None:
        for epoch in epochs:
            self._passed += len(self._needed.pop(epoch))
