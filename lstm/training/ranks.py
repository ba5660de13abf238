"""The ranks of a run: joining them, and the few things they say to each other besides gradients.

Only tensors travel; nothing is pickled (the `*_object` collectives of torch.distributed would).
The launch contract is torchrun's environment. On one host `CAROUSEL_STORE` names a file where ranks
meet, so that no port listens beyond loopback; several hosts meet at MASTER_ADDR:MASTER_PORT.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import torch
import torch.distributed as dist

from lstm.training.events import emit_error

STORE = "CAROUSEL_STORE"
"""Environment variable with the path of the file store; unset where ranks run on several hosts."""


class RankFailed(RuntimeError):
    """Another rank failed in a part that all ranks must do together."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among all ranks of its run."""

    rank: int
    world: int

    @classmethod
    def join(cls, timeout_s: int) -> Self:
        """Meet the other ranks (gloo). A rank that waits `timeout_s` for another raises."""
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        store = os.environ.get(STORE)
        dist.init_process_group(
            "gloo",
            init_method=f"file://{store}" if store else "env://",
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=timeout_s),
        )
        return cls(rank, world)

    def leave(self) -> None:
        """Part from the other ranks."""
        dist.destroy_process_group()

    @property
    def first(self) -> bool:
        """True on the rank that commits and reports."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over ranks, in place, the same bits on every rank."""
        dist.all_reduce(values)
        return values

    def share(self, text: str | None) -> str:
        """What rank 0 says, on every rank; the others pass None."""
        assert self.first == (text is not None)
        data = torch.frombuffer(bytearray((text or " ").encode()), dtype=torch.uint8)
        size = torch.tensor([data.numel()])
        dist.broadcast(size, src=0)
        if not self.first:
            data = torch.empty(int(size), dtype=torch.uint8)
        dist.broadcast(data, src=0)
        return bytes(data.numpy()).decode()

    def gather(self, values: torch.Tensor) -> list[torch.Tensor]:
        """One tensor of the same shape from each rank, by rank, on every rank."""
        parts = [torch.empty_like(values) for _ in range(self.world)]
        dist.all_gather(parts, values)
        return parts

    def together(self, error: BaseException | None) -> None:
        """Pass only if no rank brings an error: the own one is raised, another's raises RankFailed."""
        if error is not None:
            emit_error(error)  # before the others know: torchrun ends all ranks once one has gone
        failed = self.sum(torch.tensor([0 if error is None else 1]))
        if error is not None:
            raise error
        if int(failed):
            raise RankFailed("another rank failed; its own message says why")
