"""Ranks that save together as threads of one process, each with a connection of its own to one server."""

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from storage.checkpoints import RankGone, RunWriter
from storage.checkpoints.sharded import Shard, ShardedSaver

from .fake_store import FakeStore
from .states import repository

_WAIT_S = 600


class Wires:
    """Messages between any two ranks; counts what ranks exchange beside the leader's messages."""

    def __init__(self, size: int) -> None:
        pairs = product(range(size), repeat=2)  # made here: else two threads might each make one
        self.queues: dict[tuple[int, int], queue.Queue[bytes | None]] = {it: queue.Queue() for it in pairs}
        self.exchanged = 0
        self.most = 0
        """Bytes that one rank has taken or given at once."""
        self.gone: set[int] = set()


class Wire:
    """One rank's `Group`."""

    def __init__(self, wires: Wires, rank: int, size: int) -> None:
        self.wires, self.rank, self.size = wires, rank, size

    def send(self, rank: int, message: bytes) -> None:
        if rank in self.wires.gone:
            raise RankGone(f"rank {rank}")
        self.wires.queues[self.rank, rank].put(bytes(message))

    def receive(self, rank: int) -> bytes:
        if rank in self.wires.gone:
            raise RankGone(f"rank {rank}")
        message = self.wires.queues[rank, self.rank].get(timeout=_WAIT_S)
        if message is None:
            raise RankGone(f"rank {rank}")
        return message

    def exchange(
        self, outgoing: Mapping[int, Sequence[bytes]], incoming: Mapping[int, int]
    ) -> Mapping[int, memoryview]:
        for rank, parts in outgoing.items():
            message = b"".join(parts)
            assert message
            self.wires.exchanged += len(message)
            with contextlib.suppress(RankGone):
                self.send(rank, message)
        given = sum(len(part) for parts in outgoing.values() for part in parts)
        self.wires.most = max(self.wires.most, given, sum(incoming.values()))
        found, gone = {}, self.wires.gone & outgoing.keys()
        for rank in incoming:
            try:
                found[rank] = memoryview(self.receive(rank))
            except RankGone:
                gone |= {rank}
        if gone:
            raise RankGone(f"ranks {gone}")
        assert {rank: len(it) for rank, it in found.items()} == dict(incoming)
        return found


class Ranks:
    """A run that `size` ranks save; each of `stores` is a rank's connection."""

    def __init__(self, store: FakeStore, size: int, attempt: str = "a1", *, resume: bool = False) -> None:
        self.size, self.wires = size, Wires(size)
        self.values: dict[int, Mapping[str, Any]] = {}
        """What ranks other than the first tell the leader."""
        self.stores = [store, *(FakeStore(store.server) for _ in range(size - 1))]
        self._before = len(store.requests)
        begin = RunWriter.take_over if resume else RunWriter.create
        self.writer = begin(repository(store), "run", attempt)
        self.savers = [
            ShardedSaver(repository(it).shelf, Wire(self.wires, rank, size), encoders=1)
            for rank, it in enumerate(self.stores)
        ]

    def save(
        self,
        shards: Sequence[Sequence[Shard]],
        *,
        step: int = 0,
        errors: Mapping[int, Exception] | None = None,
        dead: int | None = None,
    ) -> list[Any]:
        """What each rank has come to: rank 0's commit, None, or what was raised; `dead` does nothing."""
        found: list[Any] = [None] * self.size
        errors = errors or {}
        self.wires.gone = set() if dead is None else {dead}

        def act(rank: int) -> None:
            values = {f"value {rank}": rank} if rank == 0 else self.values.get(rank, {})
            if rank == dead:
                return
            try:
                if rank == 0:
                    found[0] = self.savers[0].lead(
                        self.writer, shards[0], values, step=step, meta=dict, error=errors.get(0)
                    )
                else:
                    self.savers[rank].follow(shards[rank], values, errors.get(rank))
            except Exception as error:  # noqa: BLE001 - looked at by the test
                found[rank] = error

        run_all(act, self.size)
        return found

    def packs_of(self, rank: int) -> list[str]:
        """Keys of the packs that a rank of these has put."""
        requests = self.stores[rank].requests[self._before if rank == 0 else 0 :]
        return [it.key for it in requests if it.verb == "put" and "/packs/" in it.key]


def run_all(act: Callable[[int], None], size: int) -> None:
    threads = [threading.Thread(target=act, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_WAIT_S)
        assert not thread.is_alive(), "a rank waits for ever"
