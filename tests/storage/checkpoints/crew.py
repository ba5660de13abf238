"""Rank 0 and its helpers as threads of one process, each with a connection of its own to one server."""

import queue
from collections.abc import Callable
from dataclasses import dataclass, field

from storage.checkpoints import Helper, Helpers, RankGone, Repository, RunWriter, Tensor
from storage.checkpoints.hints import AdamHint

from .fake_store import FakeStore
from .states import repository

State = dict[str, Tensor]


@dataclass
class Wires:
    """Messages between rank 0 and each helper. `spoil` sees each answer on its way to rank 0."""

    spoil: Callable[[int, bytes], None] = lambda rank, message: None
    down: dict[int, "queue.Queue[bytes]"] = field(default_factory=dict)
    up: dict[int, "queue.Queue[bytes | None]"] = field(default_factory=dict)

    def send(self, rank: int, message: bytes) -> None:
        self.down[rank].put(message)

    def receive(self, rank: int) -> bytes:
        message = self.up[rank].get(timeout=600)
        if message is None:
            raise RankGone(f"rank {rank}")
        return message

    def of(self, rank: int) -> "Wire":
        self.down[rank], self.up[rank] = queue.Queue(), queue.Queue()
        return Wire(self, rank)


@dataclass
class Wire:
    """A helper's end. Whoever raises RankGone in `spoil` takes the helper's process away."""

    wires: Wires
    rank: int

    def send(self, rank: int, message: bytes) -> None:
        assert rank == 0
        try:
            self.wires.spoil(self.rank, message)
        except RankGone:
            self.wires.up[self.rank].put(None)
            raise
        self.wires.up[self.rank].put(message)

    def receive(self, rank: int) -> bytes:
        assert rank == 0
        return self.wires.down[self.rank].get(timeout=600)


class Crew:
    """A run's writer with `ranks - 1` helpers, which go on from its newest commit if there is one."""

    def __init__(
        self,
        store: FakeStore,
        ranks: int,
        *,
        resume: bool = False,
        attempt: str = "a2",
        run: str = "run",
        in_flight: int = 2,
    ) -> None:
        self.stores = [store, *(FakeStore(store.server) for _ in range(ranks - 1))]
        self.wires, self.notes = Wires(), list[str]()
        repo = repository(store)
        if resume:
            self.writer = RunWriter.take_over(repo, run, attempt)
            restored = self.writer.resume()
            begin = (restored.commit.step, restored.tensors)
        else:
            self.writer = RunWriter.create(repo, run, "a1")
            begin = (0, {})
        self.writer.encoders = 1
        self.helpers = Helpers(self.wires, ranks, on_note=self.notes.append)
        self.writer.store_chunks = self.helpers.store
        self.others = [
            Helper(self._opened(rank), self.wires.of(rank), begin, in_flight=in_flight, niceness=0)
            for rank in range(1, ranks)
        ]

    def _opened(self, rank: int) -> Repository:
        return repository(self.stores[rank])

    def hold(self, step: int, state: State, hints: tuple[AdamHint, ...] = ()) -> None:
        for other in self.others:
            other.hold(state, step=step, hints=hints)

    def save(self, step: int, state: State, hints: tuple[AdamHint, ...] = ()) -> str:
        """As every rank does at a checkpoint; the commit's id."""
        self.hold(step, state, hints)
        return self.writer.save(state, {}, step=step, hints=hints).id

    def end(self) -> None:
        self.helpers.dismiss()
        for other in self.others:
            other.close()
            assert other.failed is None

    def packs_of(self, rank: int) -> list[str]:
        """Keys of the packs that a rank has put."""
        return [it.key for it in self.stores[rank].requests if it.verb == "put" and "/packs/" in it.key]
