"""Before a save drops commits: whether those that it counts on instead are still complete.

A head tells only of damage that somebody has found. Packs may have been lost since, under a trainer that goes
on: dropped for commits that cannot be restored, good ones would be gone.

Cost: each commit and pack is asked for once, so a save that retains reads the manifest of the commit before
it and asks for the sizes of its new packs; `Repository.retain` asks for everything anew.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

from storage.checkpoints.commits.claim import Claim
from storage.checkpoints.commits.memory import Memory
from storage.checkpoints.commits.retention import Retention
from storage.checkpoints.format.head import Commit, Head, newest_first
from storage.checkpoints.restore.inspection import Inspector


class Counted:
    """What a writer knows to be complete. Belongs to one writer."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._complete: set[str] = set()
        """Manifests of commits."""
        self._sizes: dict[str, int] = {}
        """Of packs that the newest of them need."""

    def mark_broken(
        self,
        memory: Memory,
        policy: Retention,
        new: str,
        step: int,
        metrics: Mapping[str, float],
        tags: tuple[str, ...],
    ) -> None:
        """Mark what a save would count on though it is not complete; its packs are not reused then.

        Args:
            memory: of the writer.
            policy: of the save.
            new, step, metrics, tags: of the commit to come; `new` is its id.

        Raises:
            TakenOver, RunMissing, Damaged, CommitFailed: as a save.
        """
        self._complete &= {commit.manifest for commit in memory.head.commits}
        while True:
            others = [it for it in memory.head.commits if it.id != new]
            if not others:
                return
            coming = replace(others[0], id=new, step=step, metrics=metrics, tags=tags, pins=(), damaged=False)
            wanted = policy.counted((*others, coming), always=(new,))
            if wanted:  # the new one counts too, and rests on the newest
                healthy = [it for it in newest_first(tuple(others)) if not it.damaged]
                wanted += tuple(it for it in healthy[:1] if it not in wanted)
            unknown = [it for it in wanted if it.id != new and it.manifest not in self._complete]
            if not unknown:
                return
            inspector = Inspector(self._claim.shelf, self._claim.run, self._sizes)
            verdicts = inspector.look_at(unknown)
            self._complete |= {it.commit.manifest for it in verdicts if not it.trouble}
            self._sizes = {pack: size for pack, size in inspector.sizes.items() if size is not None}
            broken = [it for it in verdicts if it.trouble]
            for it in broken:
                memory.bar(it.manifest.packs if it.manifest else memory.packs_of(it.commit.manifest))
            if broken:
                manifests = {it.commit.manifest for it in broken}
                what = f"marking commits of run {self._claim.run!r} as damaged"
                self._claim.edit(memory, what, partial(_marked, manifests))


def _marked(manifests: Collection[str], head: Head) -> tuple[Commit, ...]:
    """By manifest: a commit that was repacked meanwhile is another matter."""
    return tuple(replace(it, damaged=True) if it.manifest in manifests else it for it in head.commits)
