"""Appends from another process, all at the same moment."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier

from storage.tables.open import Format, Lake, open_table

from .rows import sensors

_TOGETHER_S = 600


def append_at_once(lake: Lake, uri: str, format_: Format, transactions: Sequence[Sequence[str]]) -> None:
    """One process per list of transaction ids; each appends 10 rows per id. All start together."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(transactions))
    processes = [
        context.Process(target=_append, args=(lake, uri, format_, ids, barrier)) for ids in transactions
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(_TOGETHER_S)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def _append(lake: Lake, uri: str, format_: Format, transactions: Sequence[str], barrier: Barrier) -> None:
    table = open_table(lake, uri, format=format_)
    for transaction in transactions:
        barrier.wait(_TOGETHER_S)
        table.append(sensors(10), transaction=transaction)
