"""Decoded training rows of a table, row group by row group, fetched ahead of whoever measures them."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lstm.windows.features.features import Features
from lstm.windows.features.row_groups import Rows, decode
from lstm.windows.features.training_groups import is_training, training_groups
from lstm.windows.plan.plan import Plan
from storage.tables.protocol import Snapshot

_READERS = 2
"""Threads that fetch and decode meanwhile; each holds one row group, as a stream's do."""


Found = tuple[int, Rows, NDArray[np.bool_]]
"""A row group, the table's rows in it, and [n] which of them are training rows."""


def training_rows(snapshot: Snapshot, plan: Plan, features: Features) -> Iterator[Found]:
    """Each row group that has training rows, in the snapshot's order.

    Raises:
        InfiniteValues: a feature holds infinities.
    """
    read = partial(decode, snapshot, plan, features=features, of_table=True)
    ahead: deque[tuple[int, Future[Rows]]] = deque()

    def first() -> Found:
        group, reading = ahead.popleft()
        rows = reading.result()
        return group, rows, is_training(plan, group, rows.times)

    with ThreadPoolExecutor(_READERS, thread_name_prefix="training rows") as readers:
        try:
            for group in training_groups(plan):
                ahead.append((group, readers.submit(read, group)))
                if len(ahead) > _READERS:
                    yield first()
            while ahead:
                yield first()
        finally:
            for _, reading in ahead:
                reading.cancel()
