"""The ranks of a process group as those that save a sharded state together: bytes travel as tensors.

A tag of its own keeps these messages apart from others between the same two ranks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist

from storage.checkpoints.errors import RankGone
from storage.checkpoints.tensor import Buffer

_TAG = 0xCA405E1


class ProcessGroup:
    """A `Group` over `torch.distributed`, on host memory where the group has a backend for that."""

    def __init__(self, group: dist.ProcessGroup | None, leader: int = 0) -> None:
        """`group`; None: all ranks. Its rank `leader` is rank 0 here, and so on round. Nothing is sent."""
        self._group, self._leader = group, leader
        self.size = dist.get_world_size(group)
        self.rank = (dist.get_rank(group) - leader) % self.size
        on_host = "cpu" in dist.get_backend_config(group)
        self._device = torch.device("cpu") if on_host else torch.accelerator.current_accelerator()

    def send(self, rank: int, message: bytes) -> None:
        """See `Group`."""
        try:
            self._send(rank, torch.tensor([len(message)]))
            if message:
                self._send(rank, torch.frombuffer(bytearray(message), dtype=torch.uint8))
        except RuntimeError as error:
            raise RankGone(f"rank {rank} takes no messages any more: {error}") from error

    def receive(self, rank: int) -> bytes:
        """See `Group`."""
        try:
            size = int(self._receive(rank, 1, torch.int64))
            return self._receive(rank, size, torch.uint8).numpy().tobytes() if size else b""
        except RuntimeError as error:
            raise RankGone(f"rank {rank} sends no messages any more: {error}") from error

    def exchange(
        self, outgoing: Mapping[int, Sequence[Buffer]], incoming: Mapping[int, int]
    ) -> Mapping[int, memoryview]:
        """See `Group`."""
        operations = []
        for rank, parts in outgoing.items():
            message = torch.frombuffer(bytearray().join(parts), dtype=torch.uint8)
            operations.append(self._operation(dist.isend, message.to(self._device), rank))
        found: dict[int, torch.Tensor] = {}
        for rank, size in incoming.items():
            found[rank] = torch.empty(size, dtype=torch.uint8, device=self._device)
            operations.append(self._operation(dist.irecv, found[rank], rank))
        ranks = sorted({*outgoing, *incoming})
        gone: RankGone | None = None
        for work in dist.batch_isend_irecv(operations):
            try:
                work.wait()  # also after one has failed: the other ranks are still there, and go on
            except RuntimeError as error:
                gone = RankGone(f"one of the ranks {ranks} exchanges no parts any more: {error}")
        if gone is not None:
            raise gone
        return {rank: it.cpu().numpy().data for rank, it in found.items()}

    def _operation(self, what: Callable[..., Any], tensor: torch.Tensor, rank: int) -> dist.P2POp:
        return dist.P2POp(what, tensor, group=self._group, tag=_TAG, group_peer=self._theirs(rank))

    def _send(self, rank: int, tensor: torch.Tensor) -> None:
        dist.send(tensor.to(self._device), group=self._group, tag=_TAG, group_dst=self._theirs(rank))

    def _receive(self, rank: int, size: int, dtype: torch.dtype) -> torch.Tensor:
        tensor = torch.empty(size, dtype=dtype, device=self._device)
        dist.recv(tensor, group=self._group, tag=_TAG, group_src=self._theirs(rank))
        return tensor.cpu()

    def _theirs(self, rank: int) -> int:
        """What `torch.distributed` calls a rank."""
        return (rank + self._leader) % self.size
