"""Mark in an inventory whatever heads name: pages, manifests, and the packs that those list.

Each page and manifest is read once, however many heads and however often: they are immutable, and the mark
of one that has been read stands for the marks of everything that it names.
"""

from collections.abc import Callable, Iterable

from storage.checkpoints.collect.inventory import Inventory
from storage.checkpoints.collect.pack_lists import PackLists
from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.head import Commit, Head
from storage.checkpoints.format.manifest import packs_of
from storage.checkpoints.format.names import Kind, manifest_key
from storage.checkpoints.format.shelf import Shelf
from storage.objects import NotFound, Truncated

_AT_ONCE = 1000
"""Manifests asked for in one go; a bucket holds only a few of them at a time."""


class Marker:
    """Marks what heads name."""

    def __init__(
        self,
        shelf: Shelf,
        inventory: Inventory,
        read: Callable[[int], None],
        lists: PackLists | None = None,
    ) -> None:
        """`read` is told how many manifests have been read so far; `lists` spares those read before."""
        self._shelf, self._inventory, self._told, self._lists = shelf, inventory, read, lists
        self._unlisted: set[tuple[str, str]] = set()
        self.manifests_read = 0

    def mark(self, run: str, head: Head) -> None:
        """Mark all that a head names. Raises Damaged: a page or manifest cannot be read."""
        for name, size in head.pages:
            if not self._is_known(Kind.PAGE, run, name):
                self._mark_commits(run, self._shelf.read_page(run, name, size))
                self._know(Kind.PAGE, run, name)
        self._mark_commits(run, head.commits)

    def _mark_commits(self, run: str, commits: Iterable[Commit]) -> None:
        unread = [commit for commit in commits if not self._is_known(Kind.MANIFEST, run, commit.manifest)]
        for begin in range(0, len(unread), _AT_ONCE):
            some = unread[begin : begin + _AT_ONCE]
            named = self._remembered(run, some)
            named |= self._read(run, [commit for commit in some if commit.manifest not in named])
            packs = self._inventory.folder(Kind.PACK)
            for manifest, theirs in named.items():
                for pack in theirs:
                    if packs is not None:
                        packs.mark(pack)
                self._know(Kind.MANIFEST, run, manifest)
            self._told(self.manifests_read)

    def _remembered(self, run: str, commits: list[Commit]) -> dict[str, list[str]]:
        """Packs of manifests that an earlier collection has read and that are still there."""
        folder = self._inventory.folder(Kind.MANIFEST, run)
        if self._lists is None or folder is None:
            return {}
        there = [it.manifest for it in commits if folder.size(it.manifest) == it.manifest_bytes]
        known = self._lists.get([manifest_key(run, name) for name in there])
        return {name: packs for name in there if (packs := known.get(manifest_key(run, name))) is not None}

    def _read(self, run: str, commits: list[Commit]) -> dict[str, list[str]]:
        """Packs of manifests that must be read. Raises Damaged."""
        named: dict[str, list[str]] = {}
        data = self._shelf.files.get_ranges(
            [(manifest_key(run, commit.manifest), 0, commit.manifest_bytes) for commit in commits]
        )
        for commit in commits:
            what = f"manifest {commit.manifest} of {run}/{commit.id}"
            try:
                named[commit.manifest] = list(packs_of(next(data), what))
            except (NotFound, Truncated) as error:
                raise Damaged(f"{what} is missing or cut short ({error})") from error
            self.manifests_read += 1
        if self._lists is not None:
            self._lists.put({manifest_key(run, name): packs for name, packs in named.items()})
        return named

    def _is_known(self, kind: Kind, run: str, name: str) -> bool:
        folder = self._inventory.folder(kind, run)
        return (folder is not None and folder.is_marked(name)) or (run, name) in self._unlisted

    def _know(self, kind: Kind, run: str, name: str) -> None:
        folder = self._inventory.folder(kind, run)
        if folder is not None:
            folder.mark(name)
        if folder is None or not folder.is_marked(name):
            self._unlisted.add((run, name))  # written since the listing: few
