"""Which commits of a run to keep. A pure function of the commits: the same ones give the same answer.

What is kept whatever the policy says, and why:
- the newest commit that is not damaged: a resume needs it;
- what somebody pins: `pins` are promises to others;
- what a tag names (of several commits with the same tag, the newest): `restore(run, tag)` must go on working.

Damaged commits count for nothing: they are not among the last N, are nobody's best, and go unless they are
pinned or tagged. Where every commit is damaged, none goes: somebody may still repair them.

Who applies a policy looks first whether what it counts on is complete, and marks what is not: its manifest
can be read and its packs are there with their sizes. A flipped bit leaves those as they were: only restores
and `verify --read-data` read bytes, and a resume marks what it finds damaged.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from storage.checkpoints.format.head import Commit, newest_first


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """A policy: a commit stays if any rule wants it."""

    last: int = 3
    """This many commits of the highest steps."""
    every: int | None = None
    """The first commit of each stretch of so many steps: 1000 keeps 0 and 1200 of the steps 0, 300, 600, …"""
    best: int = 0
    """This many commits with the best `metric`; NaN is never among them."""
    metric: str | None = None
    """Name of the metric that `best` goes by."""
    higher_is_better: bool = False
    """Whether `metric` is a score rather than a loss."""
    first: bool = True
    """The commit of the lowest step (0; of a fork, what it began with): from it the run can be repeated."""

    def __post_init__(self) -> None:
        if self.last < 1:
            raise ValueError(f"Retention.last must be >= 1 commit, got {self.last}: a resume needs one")
        if self.every is not None and self.every < 1:
            raise ValueError(f"Retention.every must be >= 1 step, got {self.every}")
        if self.best < 0:
            raise ValueError(f"Retention.best must be >= 0 commits, got {self.best}")
        if (self.best > 0) != (self.metric is not None):
            raise ValueError("Retention.best and Retention.metric must be given together")

    def kept(self, commits: Sequence[Commit], *, always: Collection[str] = ()) -> tuple[Commit, ...]:
        """Those that stay, in their order.

        Args:
            commits: a run's, or any of them in which the highest steps are. Given fewer, it never drops what
                it would keep given more: so a save may apply it to what the head holds, without its pages.
            always: ids that stay in any case.
        """
        newest = newest_first(tuple(commits))
        healthy = [commit for commit in newest if not commit.damaged]
        if not healthy:
            return tuple(commits)
        ids = {*always, *(commit.id for commit in commits if commit.pins)}
        ids.update(_tagged(newest), _tagged(healthy))
        ids.update(commit.id for commit in healthy[: self.last])
        ids.update(commit.id for commit in self._best(healthy))
        if self.first:
            ids.add(healthy[-1].id)
        if self.every is not None:
            stretches = {commit.step // self.every: commit.id for commit in healthy}  # the lowest step wins
            ids.update(stretches.values())
        return tuple(commit for commit in commits if commit.id in ids)

    def counted(self, commits: Sequence[Commit], *, always: Collection[str] = ()) -> tuple[Commit, ...]:
        """Those that stay and for which others go: were one of them damaged, other ones would stay."""
        dropped = {commit.id for commit in self.dropped(commits, always=always)}
        newest = newest_first(tuple(commits))
        healthy = [commit for commit in newest if not commit.damaged]
        if not dropped or not healthy:
            return ()
        ids = {*_tagged(newest), *_tagged(healthy)}
        ids.update(commit.id for commit in [*healthy[: self.last], *self._best(healthy)])
        if self.first:
            ids.add(healthy[-1].id)
        if self.every is not None:
            lost = {commit.step // self.every for commit in commits if commit.id in dropped}
            firsts = {commit.step // self.every: commit.id for commit in healthy}
            ids.update(commit for stretch, commit in firsts.items() if stretch in lost)
        return tuple(commit for commit in healthy if commit.id in ids)

    def dropped(self, commits: Sequence[Commit], *, always: Collection[str] = ()) -> tuple[Commit, ...]:
        """Those that go, in their order."""
        kept = {commit.id for commit in self.kept(commits, always=always)}
        return tuple(commit for commit in commits if commit.id not in kept)

    def _best(self, healthy: list[Commit]) -> list[Commit]:
        if self.metric is None:
            return []
        name, sign = self.metric, -1 if self.higher_is_better else 1
        scored = [commit for commit in healthy if not math.isnan(commit.metrics.get(name, math.nan))]
        scored.sort(key=lambda commit: sign * commit.metrics[name])  # stable: of equals, the newest
        return scored[: self.best]


def _tagged(newest: list[Commit]) -> list[str]:
    """Ids of the newest commit of each tag."""
    named: dict[str, str] = {}
    for commit in newest:
        for tag in commit.tags:
            named.setdefault(tag, commit.id)
    return list(named.values())
