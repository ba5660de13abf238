"""Batches that mix the windows of several tables, each in its own order and as often as it is asked for.

A global batch has a fixed number of windows of each table, its quota. Batch g of the mixture, counted through
all epochs, holds batch g of each table's own endless stream of batches of its quota: so each table's windows
come once per pass of it, at any number of ranks, and g is all that a restart needs. An epoch of the mixture
has as many batches as hold the windows of all tables once; passes of single tables begin and end where
their quotas let them.
"""

import operator
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from lstm.windows.batch import Batch
from lstm.windows.errors import CursorMismatch, WindowError
from lstm.windows.index.runs import Entity
from lstm.windows.mixable import check_mixable
from lstm.windows.order.cursor import check_cursor, epoch_number
from lstm.windows.read.process import refuse_to_travel
from lstm.windows.spec import Split
from lstm.windows.stream import WindowStream
from lstm.windows.table_windows import TableWindows


class Mixture:
    """One rank's part of the batches of a mixture. `Batch.table` says whose each window is."""

    def __init__(
        self,
        tables: Sequence[TableWindows],
        split: Split = "train",
        *,
        batch_size: int = 256,
        weights: Sequence[float] | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        prefetch: int = 2,
    ) -> None:
        """Prepare to stream from the start of epoch 0.

        Args:
            tables: of the same columns, context and horizon, whose ids and scaled numbers mean the same (open
                the others with `learned=` of the first); each with its own budget of memory.
            split: whose windows are streamed.
            batch_size: windows of a global batch, over all tables and ranks.
            weights: how often a table's windows come, beside what the temperature says; None: 1 each.
            temperature: tables of n windows have quotas in proportion to n^(1/temperature).
            seed: decides the order of every pass; the tables' own are seed, seed + 1, …
            rank: this rank.
            ranks: ranks in all.
            prefetch: batches of each table that are made ahead.

        Raises:
            WindowError: tables that do not fit together, or series of one that are weighted.
            ValueError: numbers that make no sense.
        """
        self._tables, self._batch_size = tuple(tables), operator.index(batch_size)
        check_mixable(self._tables)
        self._windows = [table.plan.windows(split) for table in self._tables]
        windows = np.array(self._windows)
        self.quotas: tuple[int, ...] = quotas_of(windows, self._batch_size, weights, temperature)
        """Windows of each table in a global batch."""
        for table, count, quota in zip(self._tables, self._windows, self.quotas, strict=True):
            if table.plan.order.last == "wrap" and quota > count:
                raise WindowError(
                    f"{table.plan.table} has {count} {split} windows, but {quota} of each batch are its own: "
                    "with order.last wrap, one would come twice in a batch; take a smaller batch or weight, "
                    "or order.last short"
                )
        self._batches = -(-int(windows.sum()) // self._batch_size)
        self._seed, self._epoch, self._consumed = operator.index(seed), 0, 0
        with ExitStack() as stack:
            self._streams = [
                stack.enter_context(
                    table.stream(
                        split,
                        batch_size=quota,
                        seed=self._seed + number,
                        rank=rank,
                        ranks=ranks,
                        prefetch=prefetch,
                    )
                )
                for number, (table, quota) in enumerate(zip(self._tables, self.quotas, strict=True))
            ]
            self._stack = stack.pop_all()
        self._endless = [_endless(stream) for stream in self._streams]

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._batches

    def __iter__(self) -> Iterator[Batch]:
        """Yield the rest of the current epoch."""
        epoch = self._epoch
        while self._epoch == epoch and self._consumed < self._batches:
            batch = self._together(epoch, self._consumed, self._next())
            self._consumed += 1
            yield batch
        if self._epoch == epoch:
            self._epoch, self._consumed = epoch + 1, 0

    def batch(self, epoch: int, index: int) -> Batch:
        """Replay one batch, without moving the cursor.

        Raises:
            IndexError: the epoch has no such batch.
        """
        epoch, index = operator.index(epoch), operator.index(index)
        if epoch < 0 or not 0 <= index < self._batches:
            raise IndexError(f"no batch {index} in epoch {epoch}: it has batches 0 to {self._batches - 1}")
        number = epoch * self._batches + index
        parts = [stream.batch(*divmod(number, len(stream))) for stream in self._streams]
        return self._together(epoch, index, parts)

    def entities(self, batch: Batch) -> list[Entity]:
        """[b] whose rows each window of a batch holds, as its table names them."""
        assert batch.table is not None
        of = zip(batch.table.tolist(), batch.series.tolist(), strict=True)
        return [self._tables[table].plan.series[series] for table, series in of]

    def state_dict(self) -> dict[str, Any]:
        """The cursor: batches that were returned."""
        return {
            "plan_ids": [table.plan.id for table in self._tables],
            "quotas": list(self.quotas),
            "seed": self._seed,
            "epoch": self._epoch,
            "batches_consumed": self._consumed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a cursor, also one of another number of ranks.

        Raises:
            CursorMismatch: it belongs to another mixture, or lies beyond its epoch.
        """
        epoch, consumed = check_cursor(state, self.state_dict(), "this mixture has")
        if epoch < 0 or not 0 <= consumed <= self._batches:
            raise CursorMismatch(f"no batch {consumed} in epoch {epoch}: an epoch has {self._batches}")
        self._go_to(epoch, consumed)

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch."""
        self._go_to(epoch_number(epoch), 0)

    def close(self) -> None:
        """Close the tables' streams; the mixture cannot be used after."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        refuse_to_travel("a mixture")

    def _next(self) -> list[Batch]:
        number = self._epoch * self._batches + self._consumed
        at = [divmod(number, len(stream)) for stream in self._streams]
        try:
            parts = [next(batches) for batches in self._endless]
            if [(part.epoch, part.index) for part in parts] != at:  # an interrupt kept some from the consumer
                self._go_to(self._epoch, self._consumed)
                parts = [next(batches) for batches in self._endless]
            return parts
        except BaseException:  # what raised is at its end, and those before it are a batch ahead
            self._go_to(self._epoch, self._consumed)
            raise

    def _go_to(self, epoch: int, consumed: int) -> None:
        self._epoch, self._consumed = epoch, consumed
        for stream in self._streams:
            its_epoch, index = divmod(epoch * self._batches + consumed, len(stream))
            if index:
                stream.load_state_dict(stream.state_after(its_epoch, index - 1))
            else:
                stream.set_epoch(its_epoch)
        self._endless = [_endless(stream) for stream in self._streams]

    def _together(self, epoch: int, index: int, parts: Sequence[Batch]) -> Batch:
        """One batch of all tables' parts, table by table."""
        joined: dict[str, Any] = {}
        for field in fields(Batch):
            held = [getattr(part, field.name) for part in parts]
            if isinstance(held[0], np.ndarray):
                joined[field.name] = np.concatenate(held)
        first = (epoch * self._batches + index) * self._batch_size
        begins = np.cumsum([0, *self.quotas[:-1]]).tolist()
        positions = [  # in its table's part of the batch, also where that wraps around to position 0
            first + begin + (part.positions - part.index * quota) % windows
            for begin, part, quota, windows in zip(begins, parts, self.quotas, self._windows, strict=True)
        ]
        return replace(
            parts[0],
            **joined
            | {
                "epoch": epoch,
                "index": index,
                "size": sum(part.size for part in parts),
                "positions": np.concatenate(positions),
                "table": np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
            },
        )


def quotas_of(
    windows: NDArray[np.int64], batch_size: int, weights: Sequence[float] | None, temperature: float
) -> tuple[int, ...]:
    """Divide a batch by the largest remainder; each table has one window at least.

    Raises:
        ValueError: a batch smaller than the number of tables, or weights that make no sense.
    """
    given = np.ones(len(windows)) if weights is None else np.array(weights, np.float64)
    if len(given) != len(windows) or not (np.isfinite(given) & (given > 0)).all():
        raise ValueError(f"a mixture of {len(windows)} tables needs as many weights > 0, got {weights}")
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"a temperature must be > 0, got {temperature}")
    if batch_size < len(windows):
        raise ValueError(f"a batch of {batch_size} windows cannot hold one of each of {len(windows)} tables")
    shares = windows.astype(np.float64) ** (1 / temperature) * given
    spare = batch_size - len(windows)
    exact = spare * shares / shares.sum()
    whole = np.floor(exact)
    order = np.argsort(whole - exact, kind="stable")  # the largest remainders first
    whole[order[: spare - int(whole.sum())]] += 1
    return tuple(int(count) + 1 for count in whole)


def _endless(stream: WindowStream) -> Iterator[Batch]:
    while True:
        yield from stream
