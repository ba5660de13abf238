"""Bring a commit into its run's head: steps (2) to (4) of docs/checkpoint-format.md#writing.

Each step guards against a way to lose data to a collection, or to another trainer.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from storage.checkpoints.claim import UNDECIDED, Claim
from storage.checkpoints.head import Commit, Head
from storage.checkpoints.manifest import Manifest
from storage.checkpoints.memory import Memory
from storage.checkpoints.names import manifest_key, pack_key
from storage.checkpoints.pages import turned
from storage.checkpoints.shelf import Retries


class Content(Protocol):
    """What a commit is to hold, and how it gets into the repository."""

    id: str
    """The commit's."""
    learned: int
    """Newest collection (1) that was known before anything was read that is reused."""
    written: dict[str, Manifest]
    """Manifests by name. A put that seemed lost may land late, so any of them may be the one."""

    def store(self) -> Commit:
        """Write what the repository lacks, then a manifest (2)."""
        ...

    def store_again(self, commit: Commit, condemned: set[str], newest: int) -> Commit | None:
        """The same without the condemned objects, in new ones of generation `newest`; None: back to (1)."""
        ...


def land(
    claim: Claim,
    memory: Memory,
    content: Content,
    what: str,
    *,
    metrics: Mapping[str, float],
    tags: tuple[str, ...],
    kept: Callable[[tuple[Commit, ...], str], tuple[Commit, ...]],
) -> Commit:
    """Commit `content`, or add metrics and tags to its commit if it has landed already.

    `kept` tells which of the head's commits stay, given them all and the id of the new one.
    A settled memory goes from (2) to (4) and reads nothing.

    Raises:
        TakenOver, CommitFailed, RunMissing, Damaged.
    """
    retries = Retries(claim.shelf, what)
    head, etag = memory.head, memory.etag
    known = head.find(content.id) is not None  # whether it is still there, only the head itself can tell
    commit = None if known else content.store()
    newest = content.learned
    settled = memory.settled and not known
    while True:
        if not settled:
            memory.settled = False
            head, etag = claim.read()  # (3)
            memory.saw(head, etag)
            if _healthy(head, content.id):
                landed = _add(claim, memory, content, what, metrics, tags)
                if landed is not None:
                    return landed
                continue
            commit = commit or content.store()
            newest = claim.shelf.newest_collection()
            condemned = _condemned(claim, content, commit, newest)
            if condemned:
                commit = content.store_again(commit, condemned, newest)
                if commit is None:
                    continue
        assert commit is not None
        commits = kept(head.with_commit(commit), commit.id)
        changed = head.changed(claim.shelf.nonce(), commits=commits)
        changed = turned(claim.shelf, claim.run, changed, newest)
        settled = memory.settled = False
        try:
            etag = claim.shelf.change_head(claim.run, changed, etag)  # (4)
        except UNDECIDED as error:
            retries.after(error)
            continue
        memory.saw(changed, etag)
        memory.learn(commit.manifest, content.written[commit.manifest])
        memory.newest, memory.settled = newest, True
        return commit


def _condemned(claim: Claim, content: Content, commit: Commit, newest: int) -> set[str]:
    """Keys of this commit's objects, reused or new, that a collection has condemned since we learned of them.

    The first list counts too: it may have condemned what a head still named when we read it.
    """
    ours = {pack_key(pack) for pack in content.written[commit.manifest].packs}
    ours.add(manifest_key(claim.run, commit.manifest))
    return claim.shelf.condemned(content.learned, newest) & ours


def _add(
    claim: Claim,
    memory: Memory,
    content: Content,
    what: str,
    metrics: Mapping[str, float],
    tags: tuple[str, ...],
) -> Commit | None:
    """The commit that is there already, with more metrics and tags; None if it was dropped meanwhile."""

    def add(head: Head) -> tuple[Commit, ...]:
        there = _healthy(head, content.id)
        if there is None:
            return head.commits
        all_tags = tuple(dict.fromkeys((*there.tags, *tags)))
        return head.with_commit(replace(there, metrics={**there.metrics, **metrics}, tags=all_tags))

    there = _healthy(claim.edit(memory, what, add), content.id)
    if there is not None and there.manifest in content.written:
        memory.learn(there.manifest, content.written[there.manifest])
    return there


def _healthy(head: Head, commit: str) -> Commit | None:
    found = head.find(commit)
    return None if found is None or found.damaged else found
