"""The protocol's rules, each of which can be left out: what must then be lost, a test must be able to find.

`check own inclusive relist order version` are the writer's, `touch remark newest` the collector's; the names
are those of the searched model of the protocol.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from storage.checkpoints.collect import undo
from storage.checkpoints.collect.collector import _Collection
from storage.checkpoints.commits import landing
from storage.checkpoints.commits.fork import Branch
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.restore.complete import find_complete

from .fake_store import FakeStore


def without_check(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks at what collections have condemned."""
    patch.setattr(landing, "_condemned", lambda *args: set())


def without_own_objects(patch: pytest.MonkeyPatch) -> None:
    """Only what is reused is looked for in the lists, not what is new."""
    intact = landing._condemned

    def reused_only(claim, content, newest):
        own = {f"packs/{pack}" for pack in getattr(content, "_uploaded", {})}
        return {key for key in intact(claim, content, newest) - own if "/manifests/" not in key}

    patch.setattr(landing, "_condemned", reused_only)


def without_listing_again(patch: pytest.MonkeyPatch) -> None:
    """Collections that began during the save are not seen."""
    intact = landing._condemned

    def at_the_start(claim, content, newest):
        return intact(claim, content, content.learned)

    patch.setattr(landing, "_condemned", at_the_start)


def without_the_first_list(patch: pytest.MonkeyPatch) -> None:
    """The newest list at the start is taken for done with."""
    intact = Shelf.condemned
    patch.setattr(Shelf, "condemned", lambda self, first, last: intact(self, first + 1, last))


def without_listing_first(patch: pytest.MonkeyPatch) -> None:
    """A fork lists collections only after it has read what it goes on from."""

    def store(self: Branch):
        shelf = self._shelf
        found = find_complete(shelf, self._parent, self.id)
        commit, manifest = found.commit, found.manifest
        self.learned = shelf.newest_collection()
        name, size = shelf.write_manifest(self._run, manifest, self.learned)
        self.written[name] = manifest
        return replace(commit, attempt=self._attempt, manifest=name, manifest_bytes=size)

    patch.setattr(Branch, "store", store)


def without_if_match(patch: pytest.MonkeyPatch) -> None:
    """A head is replaced whatever it is by now."""

    def put_always(self: FakeStore, key: str, data: bytes, etag: str) -> str:
        return self._do("put_if_match", key, lambda: self._write("put_if_match", key, data))

    patch.setattr(FakeStore, "put_if_match", put_always)


def without_rewriting_heads(patch: pytest.MonkeyPatch) -> None:
    """The collector only reads the heads a second time."""

    def read_only(self: _Collection, run: str) -> None:
        self.marker.mark(run, self.shelf.read_head(run)[0])

    patch.setattr(_Collection, "rewrite", read_only)


def without_marking_again(patch: pytest.MonkeyPatch) -> None:
    """What the heads name when they are rewritten is not kept."""

    def blind(self: _Collection, run: str) -> None:
        marker = self.marker
        self.marker = type("Blind", (), {"mark": lambda *_: None})()
        try:
            intact(self, run)
        finally:
            self.marker = marker

    intact = _Collection.rewrite
    patch.setattr(_Collection, "rewrite", blind)


def without_stopping_for_a_newer_one(patch: pytest.MonkeyPatch) -> None:
    """A collection deletes although another has begun after it."""
    patch.setattr(_Collection, "superseded", lambda self: False)


def without_looking_before_an_undo(patch: pytest.MonkeyPatch) -> None:
    """Not of the model: a drop is taken back without a look at what collections have condemned."""
    patch.setattr(undo, "_needed", lambda *args: set())


Rule = Callable[[pytest.MonkeyPatch], None]

RULES: dict[str, Rule] = {
    "check": without_check,
    "own": without_own_objects,
    "relist": without_listing_again,
    "inclusive": without_the_first_list,
    "order": without_listing_first,
    "version": without_if_match,
    "touch": without_rewriting_heads,
    "remark": without_marking_again,
    "newest": without_stopping_for_a_newer_one,
    "undo": without_looking_before_an_undo,
}
