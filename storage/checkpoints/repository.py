"""A repository: one prefix of a bucket that holds checkpoints of any number of runs."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Self

from storage.checkpoints.head import Head
from storage.checkpoints.restore import Restored
from storage.checkpoints.store import ObjectStore

if TYPE_CHECKING:
    from storage.checkpoints.writer import RunWriter


class Repository:
    """Checkpoints of any number of runs. Safe to share between threads."""

    @classmethod
    def create(cls, bucket: ObjectStore, prefix: str) -> Self:
        """Make a repository unless it is there; probes the server. Raises UnsafeServer, UnsupportedRepository."""
        raise NotImplementedError

    @classmethod
    def open(cls, bucket: ObjectStore, prefix: str) -> Self:
        """Raises RepositoryMissing, UnsupportedRepository."""
        raise NotImplementedError

    def runs(self) -> list[str]:
        """All runs, sorted."""
        raise NotImplementedError

    def head(self, run: str) -> Head:
        """Raises RunMissing, Damaged."""
        raise NotImplementedError

    def restore(self, run: str, commit: str = "newest", *, names: Collection[str] | None = None) -> Restored:
        """Read a commit: all tensors, or those in `names` (empty: only the meta).

        Args:
            run: the run.
            commit: an id or its first digits, a tag, or "newest".
            names: which tensors; None means all.

        Raises:
            RunMissing, CommitMissing, Damaged, TooLarge.
        """
        raise NotImplementedError

    def fork(self, run: str, commit: str, new_run: str, attempt: str) -> "RunWriter":
        """Begin `new_run` with a commit of `run`; stores no tensor bytes. Raises RunExists, CommitMissing."""
        raise NotImplementedError
