"""Cut pieces of series whose rows alternate between row groups, so that no two of them overlap in time.

A writer that spreads the rows of each moment over several files leaves such tables. Their times are read
once more, and each piece is cut wherever a row of another one lies between two of its own. That can come to
a piece per row, so it is bounded; beyond that a table has to be sorted: `carousel tables cluster`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm.windows.index.segments import Links, Pieces

MOST_ROWS = 1 << 26
"""Of the series that alternate: some 40 bytes each are taken for a while."""
MOST_PIECES = 1 << 22
"""That come of it; each stays in memory, with about 50 bytes."""


@dataclass(frozen=True, slots=True)
class Untangled:
    """Pieces that do not overlap."""

    pieces: Pieces
    regular: NDArray[np.bool_]
    """[n] whether all steps inside each are equal."""
    steps: NDArray[np.int64]
    """Times between neighbouring rows of the series that alternated."""


def untangled(
    pieces: Pieces, links: Links, regular: NDArray[np.bool_], times_of: Callable[[int], NDArray[np.int64]]
) -> Untangled | None:
    """Cut the pieces of all series that alternate; None: that would take more memory than is sensible, or two
    rows have one key.

    Args:
        pieces: as they were found, row group by row group.
        links: how they follow each other.
        regular: [n] whether all steps inside each are equal.
        times_of: the times of a row group's rows.
    """
    tangled = np.zeros(int(pieces.series.max()) + 1, np.bool_)
    tangled[pieces.series[links.order[links.late]]] = True
    held = np.flatnonzero(tangled[pieces.series])
    rows = pieces.rows[held].astype(np.int64)
    if int(rows.sum()) > MOST_ROWS:
        return None
    times = np.concatenate(list(_times(pieces, held, times_of)))
    piece = np.repeat(np.arange(len(held)), rows)
    come = np.lexsort((piece, times, np.repeat(pieces.series[held], rows)))
    ordered, owner = times[come], held[piece[come]]
    same = pieces.series[owner[1:]] == pieces.series[owner[:-1]]
    step = np.diff(ordered)
    begins = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))
    if len(begins) > MOST_PIECES or bool(np.any(step[same] == 0)):
        return None
    counts = np.diff(np.append(begins, len(come)))
    stays = np.flatnonzero(~tangled[pieces.series])
    whose = np.concatenate([stays, owner[begins]])
    place = np.argsort(whose, kind="stable")  # in file order again: inside a piece that is the order of time

    def both(kept: NDArray[Any], cut: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([kept[stays], cut.astype(kept.dtype)])[place]

    recut = replace(
        pieces,
        series=pieces.series[whose[place]],
        rows=both(pieces.rows, counts),
        first_time=both(pieces.first_time, ordered[begins]),
        last_time=both(pieces.last_time, ordered[begins + counts - 1]),
    )
    return Untangled(recut, both(regular, _even(begins, counts, step)), step[same])


def _times(
    pieces: Pieces, held: NDArray[np.intp], times_of: Callable[[int], NDArray[np.int64]]
) -> Iterator[NDArray[np.int64]]:
    """The times of some pieces, ascending; each row group is read once."""
    ends = np.cumsum(pieces.rows, dtype=np.int64)
    first = ends[held] - pieces.rows[held]
    group_ends = np.cumsum(pieces.group_rows)
    groups = np.searchsorted(group_ends, first, side="right")
    begin = first - (group_ends - pieces.group_rows)[groups]
    for group in np.unique(groups).tolist():
        times = times_of(group)
        for piece in np.flatnonzero(groups == group).tolist():
            yield times[begin[piece] : begin[piece] + pieces.rows[held[piece]]]


def _even(begins: NDArray[np.intp], counts: NDArray[np.intp], step: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[k] whether all steps inside each run of rows are equal."""
    even = np.ones(len(begins), np.bool_)
    if len(step):
        run = np.repeat(np.arange(len(begins)), counts)
        first = step[np.minimum(begins, len(step) - 1)]
        differs = (run[1:] == run[:-1]) & (step != first[run[:-1]])
        even[run[:-1][differs]] = False
    return even
