"""How the ranks that save a state together reach each other."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from storage.checkpoints.tensor import Buffer

LEADER = 0
"""The rank that commits."""


class Group(Protocol):
    """Ranks 0, 1, …, each with the same calls in the same order. Nothing else may use it meanwhile."""

    rank: int
    """Of this process."""
    size: int
    """Ranks in all."""

    def send(self, rank: int, message: bytes) -> None:
        """Hand a message to a rank that waits for one, or will. Raises RankGone."""
        ...

    def receive(self, rank: int) -> bytes:
        """Wait for the next message of a rank. Raises RankGone."""
        ...

    def exchange(
        self, outgoing: Mapping[int, Sequence[Buffer]], incoming: Mapping[int, int]
    ) -> Mapping[int, memoryview]:
        """Send to some ranks while receiving from some, in any order among them.

        Raises RankGone, once what the others have sent is taken: none of it may come to the next call.

        Args:
            outgoing: parts of one message, by rank; not empty.
            incoming: bytes that will come, by rank; more than 0.
        """
        ...
