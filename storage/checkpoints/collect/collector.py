"""Collect garbage beside live writers, without clocks, locks or leases: docs/checkpoint-format.md#collecting

A collection may be killed at any moment and harms nothing: what it has condemned but not deleted is still
named by nothing, so the next one condemns it again. Several may run at once: all but one of them stop.

Cost: lists the repository twice, reads the newest list, each page and manifest once (manifests once ever,
with `PackLists`), each head twice, and changes it once.
Memory: 50 bytes for each object (see `inventory`) and at most `AT_MOST` keys.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from storage.checkpoints.collect.collected import Collected, Doomed, Ending, Tally
from storage.checkpoints.collect.inventory import Folder, Inventory
from storage.checkpoints.collect.marking import Marker
from storage.checkpoints.collect.pack_lists import PackLists
from storage.checkpoints.collect.unreadable import unreadable_newest
from storage.checkpoints.commits.claim import UNDECIDED
from storage.checkpoints.errors import Damaged
from storage.checkpoints.format.head import Head
from storage.checkpoints.format.names import PROBES, Kind, generation
from storage.checkpoints.format.shelf import Retries, Shelf
from storage.checkpoints.in_order import in_order
from storage.checkpoints.progress import Progress, silent
from storage.object_probe import is_litter

AT_MOST = 250_000
"""Objects that one collection condemns (its list takes 14 MB, which a writer that meets it must read)."""

_THREADS = 8


def collect(
    shelf: Shelf, *, dry_run: bool = False, lists: PackLists | None = None, progress: Progress = silent
) -> Collected:
    """Run one collection.

    Args:
        shelf: the repository; its bucket must grant the right to delete.
        dry_run: only say what would be condemned.
        lists: what earlier collections have read, so that only newer manifests are read.
        progress: told how far it is.

    Raises:
        Damaged: a head, page or named manifest cannot be read, or a head was lost. Nothing was deleted.
        CommitFailed: a head could not be rewritten. Nothing was deleted.
    """
    return _Collection(shelf, lists, progress).run(dry_run)


class _Collection:
    """One collection; the numbers of its steps are those of docs/checkpoint-format.md#collecting."""

    def __init__(self, shelf: Shelf, lists: PackLists | None, progress: Progress) -> None:
        self.shelf, self.lists, self.progress = shelf, lists, progress
        self.done = Collected()

    def run(self, dry_run: bool) -> Collected:
        done = self.done
        self.newest = self.shelf.newest_collection()  # (1), before anything is listed that may be condemned
        done.unreadable = unreadable_newest(self.shelf, self.newest)
        self.inventory = Inventory(self.shelf.files)
        self.marker = Marker(
            self.shelf,
            self.inventory,
            lambda count: self.progress("reading manifests", count, None),
            self.lists,
        )
        done.listed = Tally(len(self.inventory), self.inventory.nbytes)
        done.runs, done.strangers = len(self.inventory.heads), len(self.inventory.strangers)
        self.refuse_headless()
        self.mark()  # (2)
        doomed = self.choose()
        if dry_run:
            done.ending = Ending.DRY_RUN
        elif not doomed and not done.young.objects and not done.unreadable:
            done.ending = Ending.NOTHING_TO_DO
        elif not self.shelf.create_collection(self.newest + 1, (one.key for one in doomed)):  # (3)
            done.ending = Ending.ANOTHER_COLLECTS
        else:
            done.number = self.newest + 1
            self.finish(doomed)
        done.manifests_read = self.marker.manifests_read
        if not dry_run and done.ending is not Ending.ANOTHER_COLLECTS:
            self.clear_probes()
        return done

    def finish(self, doomed: tuple[Doomed, ...]) -> None:
        """Steps (4) to (6)."""
        try:
            self.rewrite_heads()
        except Damaged:
            if self.superseded():  # then a manifest may be gone because it was dropped and collected
                self.done.ending = Ending.ANOTHER_COLLECTS
                return
            raise
        if self.superseded():
            self.done.ending = Ending.ANOTHER_COLLECTS
            return
        self.delete(doomed)

    def refuse_headless(self) -> None:
        """What a lost head named cannot be told from garbage."""
        if lost := self.inventory.headless:
            raise Damaged(
                f"run {lost[0]!r} has manifests or pages but no head ({len(lost)} such runs); nothing was"
                f" deleted. `carousel checkpoints repair {lost[0]}` rebuilds its head; or remove the run's"
                " objects if nobody wants it any more"
            )

    def mark(self) -> None:
        """(2): everything that the heads name."""
        runs = sorted(self.inventory.heads)
        for number, run in enumerate(runs):
            self.progress("reading heads", number, len(runs))
            retries = 0
            while True:
                head = self.head_of(run)
                try:
                    self.marker.mark(run, head)
                    break
                except Damaged as error:
                    retries += 1
                    now, _ = self.shelf.read_head(run)
                    if now == head or retries > Retries.LIMIT:
                        raise Damaged(
                            f"{error}; nothing was deleted. `carousel checkpoints repair {run}` mends a run"
                            " that has lost a page; a commit that is beyond repair can be dropped"
                        ) from error

    def head_of(self, run: str) -> Head:
        try:
            return self.shelf.read_head(run)[0]
        except Damaged as error:
            raise Damaged(f"{error}; nothing was deleted") from error

    def choose(self) -> tuple[Doomed, ...]:
        """(3): what is named by nothing and was not written by a save that may be under way."""
        done = self.done
        doomed: list[Doomed] = []
        for one in self.unnamed():
            if not self.is_old(one.name):
                done.young.add(one.size)
            elif len(doomed) == AT_MOST:
                done.left.add(one.size)
            else:
                done.condemned.add(one.size)
                doomed.append(one)
        done.doomed = tuple(doomed)
        return done.doomed

    def unnamed(self) -> Iterator[Doomed]:
        """Pages and manifests come before packs, so that no manifest is left without its packs."""
        for (kind, run), folder in sorted(self.inventory.folders.items(), key=_packs_last):
            for name, size in folder.unmarked():
                yield Doomed(kind, run, name, size)

    def is_old(self, name: str) -> bool:
        """Whether an object was named before the newest collection, so that no young save has written it."""
        return generation(name) < self.newest

    def rewrite_heads(self) -> None:
        """(4): after this, nothing condemned can enter any head that does not name it now."""
        heads = set(self.shelf.runs())
        if gone := self.inventory.heads - heads:
            raise Damaged(f"the head of run {min(gone)!r} was removed meanwhile; nothing was deleted")
        for number, run in enumerate(sorted(heads)):
            self.progress("rewriting heads", number, len(heads))
            self.rewrite(run)

    def rewrite(self, run: str) -> None:
        """A new version with the same content; whatever it names at that moment stays."""
        retries = Retries(self.shelf, f"rewriting the head of run {run!r}")
        while True:
            head, etag = self.shelf.read_head(run)
            try:
                self.shelf.change_head(run, head.changed(self.shelf.nonce()), etag)
            except UNDECIDED as error:
                retries.after(error)
                continue
            self.marker.mark(run, head)  # reads at most what was written since (2)
            return

    def superseded(self) -> bool:
        """(5): whether a newer collection has begun; who starts to save now would not look at our list."""
        return self.shelf.newest_collection() != self.newest + 1

    def delete(self, doomed: tuple[Doomed, ...]) -> None:
        """(6): what was condemned and is still named by nothing."""
        going: list[Doomed] = []
        for one in doomed:
            if self.folder_of(one).is_marked(one.name):
                self.done.kept.add(one.size)
            else:
                going.append(one)
        with ThreadPoolExecutor(_THREADS) as pool:
            removed = in_order(pool, self.delete_one, going, ahead=2 * _THREADS)
            for number, one in enumerate(removed, 1):
                self.done.deleted.add(one.size)
                self.progress("deleting", number, len(going))
        if self.lists is not None:
            self.lists.forget(one.key for one in going if one.kind is Kind.MANIFEST)

    def clear_probes(self) -> None:
        """What writers left that tried the server out: nothing names it, and a probe copes with its loss."""
        left = [(key, size) for key, size in self.shelf.files.list(PROBES) if is_litter(key, size)]
        with ThreadPoolExecutor(_THREADS) as pool:
            deleted = in_order(pool, self.shelf.files.delete, (key for key, _ in left), ahead=2 * _THREADS)
            for (_, size), _ in zip(left, deleted, strict=True):
                self.done.probes.add(size)

    def delete_one(self, one: Doomed) -> Doomed:
        self.shelf.files.delete(one.key)
        return one

    def folder_of(self, one: Doomed) -> Folder:
        folder = self.inventory.folder(one.kind, one.run)
        assert folder is not None  # it was found there
        return folder


def _packs_last(item: tuple[tuple[Kind, str], Folder]) -> tuple[bool, str, str]:
    (kind, run), _ = item
    return kind is Kind.PACK, run, kind
