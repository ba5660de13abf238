"""Makes the batches of tracks: rows that follow one another are read once for many windows of a track."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from lstm.windows.arrays.gather import gather
from lstm.windows.batch import Batch
from lstm.windows.features.row_groups import Rows
from lstm.windows.order.track_order import Stretches, TrackOrder
from lstm.windows.plan.plan import Plan
from lstm.windows.read.read import WindowReader

_READERS = 4
"""Threads that read tracks' rows."""


class TrackBatches:
    """Batches of one rank's tracks, in any epoch. Knows nothing of the stream, which may be dropped."""

    def __init__(
        self,
        plan: Plan,
        reader: WindowReader,
        stretches: Stretches,
        finish: Callable[[Batch], Batch],
        *,
        own: NDArray[np.int64],
        tracks: int,
        seed: int,
        at_once: int,
    ) -> None:
        """Prepare to make the batches of the tracks `own` of `tracks`; rows of `at_once` of them are held."""
        self._plan, self._reader, self._finish = plan, reader, finish
        self._own, self._tracks, self._at_once = own, tracks, at_once
        self.order = lru_cache(maxsize=3)(
            lambda epoch: TrackOrder(stretches, tracks=tracks, seed=seed, epoch=epoch)
        )
        """The order of an epoch."""
        self._executor = ThreadPoolExecutor(_READERS, thread_name_prefix="tracks")

    def following(self, epoch: int, index: int) -> Iterator[Callable[[], Batch]]:
        """Calls for every batch from number `index` of an epoch on, without end."""
        while True:
            yield from self._from(self.order(epoch), epoch, index, self._at_once)
            epoch, index = epoch + 1, 0

    def one(self, epoch: int, index: int) -> Batch:
        """A batch by itself."""
        return next(self._from(self.order(epoch), epoch, index, at_once=1))()

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown(wait=True)

    def _from(self, order: TrackOrder, epoch: int, index: int, at_once: int) -> Iterator[Callable[[], Batch]]:
        """Calls for the batches of an epoch from `index` on; rows of `at_once` are held at a time."""
        while index < order.batches:
            few = np.arange(index, min(index + at_once, order.batches))
            batch, place = np.nonzero(few[:, None] < order.windows[self._own][None])
            track = self._own[place]
            first, begins = order.at(track, few[batch])
            rows, at = self._rows(track, first, few[batch])
            for number, k in enumerate(few.tolist()):
                here = np.flatnonzero(batch == number)
                windows = track[here], first[here], begins[here]
                yield partial(self._batch, order, epoch, k, windows, rows, at[here])
            index += len(few)

    def _batch(
        self,
        order: TrackOrder,
        epoch: int,
        index: int,
        windows: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]],
        rows: Rows,
        at: NDArray[np.int64],
    ) -> Batch:
        """The finished batch of windows: their tracks, first logical rows, whether they begin a stretch."""
        track, first, begins = windows
        series, starts = self._plan.segments.within_series(first)
        length = self._plan.window.length
        batch = Batch(
            epoch=epoch,
            index=index,
            size=int(np.count_nonzero(order.windows > index)),
            positions=index * self._tracks + track,
            values=gather(rows.values, at, length),
            times=gather(rows.times, at, length),
            series=series,
            starts=starts,
            track=track,
            reset=begins,
        )
        return self._finish(batch)

    def _rows(
        self, track: NDArray[np.int64], first: NDArray[np.int64], index: NDArray[np.int64]
    ) -> tuple[Rows, NDArray[np.int64]]:
        """Rows that some windows need, each once per run of a track; and where each window begins in them."""
        if not len(first):
            return self._read(first, first, first), first
        order = np.lexsort((index, track))
        stride, length = self._plan.window.stride, self._plan.window.length
        goes_on = (np.diff(first[order]) == stride) & (np.diff(track[order]) == 0)
        run = np.concatenate([[0], np.cumsum(~goes_on)])
        begin = np.flatnonzero(np.diff(run, prepend=-1))
        counts = (np.bincount(run) - 1) * stride + length
        place = np.cumsum(counts) - counts
        at = np.empty(len(first), np.int64)
        at[order] = place[run] + first[order] - first[order][begin][run]
        return self._read(first[order][begin], counts, place), at

    def _read(self, first: NDArray[np.int64], counts: NDArray[np.int64], place: NDArray[np.int64]) -> Rows:
        total = int(counts.sum())
        rows = Rows(np.empty((total, self._reader.width), np.float32), np.empty(total, np.int64))
        parts = np.array_split(np.arange(len(first)), min(_READERS, max(1, len(first))))
        reads = [
            self._executor.submit(self._reader.read_into, first[part], counts[part], place[part], rows)
            for part in parts
        ]
        for read in reads:
            read.result()
        return rows
