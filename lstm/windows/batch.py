"""What a stream yields: one rank's windows of one global batch, as arrays."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.times import Times, TimesField


@dataclass(frozen=True, eq=False)
class Batch:
    """The b windows of a global batch that one rank holds (b may be 0), of T = context + horizon rows.

    The arrays are fresh for each batch, contiguous, and the consumer's to keep or change.
    """

    epoch: int
    index: int
    """Number of the batch in its epoch, from 0."""
    size: int
    """Windows of the global batch, over all ranks."""
    positions: NDArray[np.int64]
    """[b] position of each window in the epoch, the key of randomness per sample. Ascending, except that the
    last batch of `wrap` goes on with positions 0, 1, … after the epoch's last."""
    values: NDArray[np.float32]
    """[b, T, F features] in the order of the reader's columns; NaN where unknown."""
    times: NDArray[np.int64]
    """[b, T] microseconds since 1970 UTC, or the table's own ordinals."""
    series: NDArray[np.int64]
    """[b] number of the series in `plan.series`."""
    starts: NDArray[np.int64]
    """[b] row of its series at which the window begins, counted from the series' first row."""
    ids: NDArray[np.int32] | None = None
    """[b, T, K] ids of categories and tokens, in the order of the columns; None: there are none."""
    past: NDArray[np.float32] | None = None
    """[b, context, P] numbers of `past` and `target` columns; this and the next five: None without roles."""
    past_ids: NDArray[np.int32] | None = None
    known: NDArray[np.float32] | None = None
    """[b, T, Q] numbers of columns that are known beforehand, horizon included."""
    known_ids: NDArray[np.int32] | None = None
    target: NDArray[np.float32] | None = None
    """[b, horizon, R] numbers of `target` columns: what is to be forecast."""
    target_ids: NDArray[np.int32] | None = None
    static: NDArray[np.float32] | None = None
    """[b, S] numbers of static columns; None: there are none."""
    static_ids: NDArray[np.int32] | None = None
    """[b, U] ids of static categories and tokens; None: there are none."""
    calendar: NDArray[np.float32] | None = None
    """[b, T, 12] where each row stands in its day and its week, [b, T, 18] in its year too; None: not asked
    for."""
    level: NDArray[np.float32] | None = None
    """[b, F] values = (the table's values - level) ÷ spread; None: nothing is scaled."""
    spread: NDArray[np.float32] | None = None
    """[b, F] see `level`."""

    track: NDArray[np.int64] | None = None
    """[b] of a `TrackStream`: which track each window goes on with."""
    reset: NDArray[np.bool_] | None = None
    """[b] of a `TrackStream`: whether a stretch begins, so that the hidden state before it means nothing."""

    table: NDArray[np.int64] | None = None
    """[b] of a `Mixture`: the number of the table that each window is of; `series` counts in that one."""

    @classmethod
    def plain(
        cls,
        *,
        epoch: int,
        index: int,
        size: int,
        positions: NDArray[np.int64],
        values: NDArray[np.float32],
        times: Times,
        series: NDArray[np.int64],
        starts: NDArray[np.int64],
    ) -> Self:
        """A batch of these fields alone: two dozen of a frozen dataclass take as long as much of the copy."""
        batch = object.__new__(cls)
        batch.__dict__.update(
            epoch=epoch,
            index=index,
            size=size,
            positions=positions,
            values=values,
            times=times,
            series=series,
            starts=starts,
        )
        return batch

    def changed(self, **fields: Any) -> Self:
        """A batch with other fields; its times are worked out no earlier for it."""
        return replace(self, **{"times": self.__dict__["times"], **fields})

    def __len__(self) -> int:
        return len(self.positions)


# After the fact, as type checkers and dataclasses would take it for a default: `Batch` also takes `Counted`.
Batch.times = TimesField()  # type: ignore[assignment]
