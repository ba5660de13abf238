"""Messages between the threads that save, on several ranks, beside the collectives of training.

They have a process group of their own: calls that two threads make on one group would meet each other's.
Bytes travel as tensors, so nothing is pickled.
"""

from datetime import timedelta

import torch
import torch.distributed as dist

from storage.checkpoints import RankGone

_TIMEOUT = timedelta(days=365)
"""A helper waits from one checkpoint to the next, however long that is. A rank that dies closes its
connections, and one that hangs ends training by the timeout of its collectives."""


class SideChannel:
    """A `Channel` over gloo. All ranks must make it at the same point."""

    def __init__(self) -> None:
        self._group = dist.new_group(backend="gloo", timeout=_TIMEOUT)

    def send(self, rank: int, message: bytes) -> None:
        """See `Channel`."""
        try:
            dist.send(torch.tensor([len(message)]), rank, group=self._group)
            if message:
                dist.send(torch.frombuffer(bytearray(message), dtype=torch.uint8), rank, group=self._group)
        except RuntimeError as error:
            raise RankGone(f"rank {rank} takes no messages any more: {error}") from error

    def receive(self, rank: int) -> bytes:
        """See `Channel`."""
        size = torch.zeros(1, dtype=torch.int64)
        try:
            dist.recv(size, rank, group=self._group)
            data = torch.empty(int(size), dtype=torch.uint8)
            if data.numel():
                dist.recv(data, rank, group=self._group)
        except RuntimeError as error:
            raise RankGone(f"rank {rank} sends no messages any more: {error}") from error
        return data.numpy().tobytes()
