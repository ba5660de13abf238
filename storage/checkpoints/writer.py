"""The one trainer of a run: creates or takes over its head, and saves commits."""

from collections.abc import Collection, Mapping
from typing import Any, Self

from storage.checkpoints.head import Commit
from storage.checkpoints.repository import Repository
from storage.checkpoints.restore import Restored
from storage.checkpoints.tensor import Tensor


class RunWriter:
    """Saves commits of one run, as one attempt. Safe to share between threads; saves go one after the other."""

    run: str
    attempt: str

    @classmethod
    def create(cls, repository: Repository, run: str, attempt: str) -> Self:
        """Begin a new run. `attempt` must be unique per launch. Raises RunExists."""
        raise NotImplementedError

    @classmethod
    def take_over(cls, repository: Repository, run: str, attempt: str) -> Self:
        """Become the run's trainer; an older one loses its next commit. Marks damaged commits. Raises RunMissing."""
        raise NotImplementedError

    def resume(self, *, names: Collection[str] | None = None) -> Restored:
        """Restore the newest complete commit; ones whose bytes prove damaged are marked so. Raises CommitMissing: none."""
        raise NotImplementedError

    def save(
        self,
        tensors: Mapping[str, Tensor],
        meta: Mapping[str, Any],
        *,
        step: int,
        metrics: Mapping[str, float] | None = None,
        tags: Collection[str] = (),
    ) -> Commit:
        """Commit a state; returns when it is durable. Saving the same state again only adds its metrics and tags.

        Raises:
            TakenOver: another attempt trains this run now; this trainer must stop.
            CommitFailed: the head could not be changed.
        """
        raise NotImplementedError
