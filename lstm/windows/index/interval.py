"""The usual time between neighbouring rows of a series, whatever way its table lies.

Steps inside pieces are counted when files are scanned. Those from the end of a piece to the begin of the next
one are counted here, unless there are too few of them to change which step is the most usual.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lstm.windows.index.segments import Links, Pieces

_AT_ONCE = 1 << 17
"""Pieces looked at in one go."""
_KEPT = 1 << 10
"""Different steps counted of so many pieces, the most usual first: a clock that jitters takes no memory."""


def usual_step(inside: Mapping[int, int], pieces: Pieces, links: Links) -> int:
    """The most usual step, of equally usual ones the shortest; 1 where no series has two rows.

    Args:
        inside: how often each step occurs between rows of one piece.
        pieces: of the whole snapshot.
        links: how they follow each other.
    """
    steps = Counter(inside)
    (_, most), (_, second) = (*steps.most_common(2), (0, 0), (0, 0))[:2]
    if most - second < len(pieces):  # each piece but a series' first adds a step
        _count_between(steps, pieces, links)
    return max(steps, key=lambda step: (steps[step], -step)) if steps else 1


def most_usual(steps: NDArray[np.int64]) -> int:
    """The most usual of these steps [n] above 0, of equally usual ones the shortest; 1 if there is none."""
    values, counts = np.unique(steps[steps > 0], return_counts=True)
    return int(values[np.argmax(counts)]) if len(values) else 1


def _count_between(steps: Counter[int], pieces: Pieces, links: Links) -> None:
    """Add the steps between pieces that follow each other in a series. O(n log n), in small parts."""
    for begin in range(0, len(links.order) - 1, _AT_ONCE):
        some = links.order[begin : begin + _AT_ONCE + 1]
        series = pieces.series[some]
        step = pieces.first_time[some[1:]] - pieces.last_time[some[:-1]]
        values, counts = np.unique(
            step[(series[1:] == series[:-1]) & (step > 0)],  # overlaps are refused later
            return_counts=True,
        )
        usual = np.lexsort((values, -counts))[:_KEPT]
        steps.update(dict(zip(values[usual].tolist(), counts[usual].tolist(), strict=True)))
