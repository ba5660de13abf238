"""Bring a commit into its run's head: steps (2) to (4) of docs/checkpoint-format.md#writing.

Each step guards against a way to lose data to a collection, or to another trainer.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from storage.checkpoints.commits.claim import UNDECIDED, Claim
from storage.checkpoints.commits.memory import Memory
from storage.checkpoints.errors import Damaged, UnsupportedRepository
from storage.checkpoints.format.head import Commit, Head
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.names import manifest_key, pack_key
from storage.checkpoints.format.pages import turned
from storage.checkpoints.format.shelf import Retries


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
        """The same without what lies there, in new objects of generation `newest`; None: back to (1).

        `condemned`: keys of all that must not be named, whether or not the commit needs it.
        """
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
    _follow(claim, memory)
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
            _follow(claim, memory)  # before collections are listed, like all that is read to be reused
            commit = commit or content.store()
            newest = claim.shelf.newest_collection()
            unwanted = _condemned(claim, content, newest) | {pack_key(it) for it in memory.left_behind}
            if unwanted & _objects(claim, content, commit):
                commit = content.store_again(commit, unwanted, newest)
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
        memory.landed(changed, etag, newest, commit.manifest, content.written[commit.manifest])
        return commit


def _condemned(claim: Claim, content: Content, newest: int) -> set[str]:
    """Keys of objects that a collection has condemned since we learned of any.

    The first list counts too: it may have condemned what a head still named when we read it.
    """
    return claim.shelf.condemned(content.learned, newest)


def _objects(claim: Claim, content: Content, commit: Commit) -> set[str]:
    """Keys of what this commit names, reused or new."""
    packs = content.written[commit.manifest].packs
    return {manifest_key(claim.run, commit.manifest), *map(pack_key, packs)}


def _follow(claim: Claim, memory: Memory) -> None:
    """Learn where our newest commit lies by now if it was repacked: else the next save would rest on nothing.

    The head that names its new manifest was read after the collections that `memory.newest` tells of were
    listed, and lists from that one on are looked at before anything of it is named again.
    """
    commit = memory.moved
    if commit is None:
        return
    try:
        memory.follow(commit, claim.shelf.read_manifest(claim.run, commit))
    except (Damaged, UnsupportedRepository):
        memory.stay()  # repacked again or dropped meanwhile, or by a newer program: as if it was dropped


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
