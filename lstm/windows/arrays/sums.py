"""Where things that stand end to end begin: running sums, of which a long list keeps only some.

A table has up to 5·10^7 pieces. A sum of 8 bytes for each would take as much again as a third of their
records; every 64th takes next to nothing, and the others follow from the lengths.
"""

import numpy as np
from numpy.typing import NDArray

FEW = 1 << 20
"""Up to so many things all sums are kept."""
_STEP = 64
_AT_ONCE = 1 << 14
"""Sums worked out in one go, each from up to `_STEP` lengths."""


class Sums:
    """The first row of each of n things, and which thing holds a row. All lengths are >= 1."""

    def __init__(self, lengths: NDArray[np.integer], order: NDArray[np.integer] | None = None) -> None:
        """Sum up.

        Args:
            lengths: [n] of each thing; kept, not copied.
            order: [n] the number in `lengths` of the thing at each place; None: as they stand.
        """
        self._lengths, self._order = lengths, order
        self._step = 1 if len(lengths) <= FEW else _STEP
        if self._step == 1:
            self._kept = self.all()
        else:
            steps = np.arange(0, len(lengths), _STEP * _AT_ONCE)
            blocks = [self._block_sums(begin, begin + _STEP * _AT_ONCE) for begin in steps.tolist()]
            self._kept = np.concatenate([[0], np.cumsum(np.concatenate(blocks))])

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def total(self) -> int:
        """Rows of all things."""
        return int(self._kept[-1])

    def all(self) -> NDArray[np.int64]:
        """[n + 1] first row of each thing; then the number of rows. Made anew: 8 bytes each."""
        sums = np.zeros(len(self._lengths) + 1, np.int64)
        np.cumsum(self._at_places(slice(None)), out=sums[1:])
        return sums

    def at(self, places: NDArray[np.integer]) -> NDArray[np.int64]:
        """[k] first row of the thing at each place, 0 … n; at place n, the number of rows."""
        if self._step == 1 or 2 * len(places) > len(self):
            first: NDArray[np.int64] = (self._kept if self._step == 1 else self.all())[places]
            return first
        found = np.empty(len(places), np.int64)
        for begin in range(0, len(places), _AT_ONCE):
            some = slice(begin, begin + _AT_ONCE)
            block, within = np.divmod(places[some].astype(np.int64), _STEP)
            lengths = self._lengths_of(block)
            lengths[np.arange(_STEP) >= within[:, None]] = 0
            found[some] = self._kept[block] + lengths.sum(1)
        return found

    def find(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """[k] place of the thing that holds each row; n for the row after the last."""
        if self._step == 1:
            return np.searchsorted(self._kept, rows, side="right") - 1
        if 2 * len(rows) > len(self):
            return np.searchsorted(self.all(), rows, side="right") - 1
        found = np.empty(len(rows), np.int64)
        for begin in range(0, len(rows), _AT_ONCE):
            some = slice(begin, begin + _AT_ONCE)
            block = np.searchsorted(self._kept[:-1], rows[some], side="right") - 1
            ends = np.cumsum(self._lengths_of(block), axis=1)
            before = ends <= (rows[some] - self._kept[block])[:, None]
            found[some] = np.minimum(block * _STEP + before.sum(1), len(self))
        return found

    def _lengths_of(self, block: NDArray[np.int64]) -> NDArray[np.int64]:
        """[k, step] lengths of the things of blocks; 0 beyond the last one."""
        places = block[:, None] * _STEP + np.arange(_STEP)
        lengths = self._at_places(np.minimum(places, len(self) - 1)).astype(np.int64)
        lengths[places >= len(self)] = 0
        return lengths

    def _block_sums(self, begin: int, end: int) -> NDArray[np.int64]:
        lengths = self._at_places(slice(begin, end))
        return np.add.reduceat(lengths, np.arange(0, len(lengths), _STEP), dtype=np.int64)

    def _at_places(self, places: NDArray[np.int64] | slice) -> NDArray[np.integer]:
        return self._lengths[places] if self._order is None else self._lengths[self._order[places]]
