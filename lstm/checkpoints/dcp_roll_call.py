"""Are all ranks there? Asked through the group's store before those that save send each other anything.

A planner may fail on one rank once the plans are out (`finish_plan`). That rank never begins to write: it
goes where failures are told, and the others, waiting for its messages, would never get there. So each rank
that begins says so, and they set out together or not at all. What is decided is decided once, for all ranks.
"""

import time
import uuid

import torch.distributed as dist

from storage.checkpoints.errors import HelperFailed

_SAVE, _ALL = "carousel-save", "all"
_SHORTEST, _LONGEST = 0.0005, 0.05
"""Seconds between two looks; a look does not hold up others who use the store, as waiting in it would."""


class RollCall:
    """One rank's, for all saves of a group."""

    def __init__(self, group: dist.ProcessGroup | None, patience: float) -> None:
        """`group`; None: all ranks. `patience`: seconds that ranks wait for each other. Nothing is sent."""
        whole = group if group is not None else dist.group.WORLD
        if whole is None:
            raise AssertionError("ranks that save have a process group")
        self._store = whole.get_group_store()
        self._rank, self._size = dist.get_rank(group), dist.get_world_size(group)
        self._patience = patience
        self._old: list[str] = []
        """Keys of the last save that this rank has led."""

    def begin(self) -> None:
        """On the coordinator, before any rank answers: this rank leads the next save."""
        for key in self._old:  # all ranks plan the next save, so none looks at the last one any more
            self._store.delete_key(key)
        save = f"carousel-{uuid.uuid4().hex}"
        self._old = [f"{save}/decision", f"{save}/decisions"]
        self._store.set(_SAVE, f"{self._rank} {save}")

    def answer(self) -> int:
        """Say that this rank is there, and wait until all are.

        Returns:
            The rank that leads.

        Raises:
            HelperFailed: not all have come; it is raised on each rank that has.
        """
        leader, save = self._store.get(_SAVE).decode().split()
        self._store.set(f"{save}/{self._rank}", "here")
        keys = {rank: f"{save}/{rank}" for rank in range(self._size)}
        if self._rank == int(leader):
            came = self._come(list(keys.values()), self._patience)
            missing = [] if came else [rank for rank, key in keys.items() if not self._store.check([key])]
            self._decide(save, f"ranks {missing} have" if missing else _ALL)
        elif not self._come([f"{save}/decision"], 2 * self._patience):
            self._decide(save, f"rank {leader}, which leads, has")
        self._come([f"{save}/decision"], self._patience)
        decision = self._store.get(f"{save}/decision").decode()
        self._store.delete_key(keys[self._rank])
        if decision != _ALL:
            raise HelperFailed(
                f"{decision} not begun to write within {self._patience:g} s of the others, so nothing is"
                " saved: see what the planner has failed of there; where it is only slow,"
                " CarouselWriter(patience=…) waits longer"
            )
        return int(leader)

    def _decide(self, save: str, decision: str) -> None:
        """The first decision stands."""
        if self._store.add(f"{save}/decisions", 1) == 1:
            self._store.set(f"{save}/decision", decision)

    def _come(self, keys: list[str], seconds: float) -> bool:
        """Whether all keys are there in time."""
        end, pause = time.monotonic() + seconds, _SHORTEST
        while not self._store.check(keys):
            if time.monotonic() > end:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
        return True
