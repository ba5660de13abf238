"""Look for damage: is everything there that the heads name, with its recorded size and, if asked, its bytes?

Reads each head, page and manifest, and with `deep` the stored chunks (see `scrubbing`). Live writers,
retention and collections do not disturb it: what seems to be missing is looked for again, and counts only if
its commit is still named.

Memory: 50 bytes for each object (see `inventory`), a page, a manifest and some small ones that are read
ahead, and the commits of one run that seem to be damaged: they are looked up in one reading of its whole
head, however many they are.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from storage.checkpoints.collect.inventory import Inventory
from storage.checkpoints.damage.findings import TOLD, Finding, Report
from storage.checkpoints.damage.scrubbing import Scrubber
from storage.checkpoints.damage.survivors import remains
from storage.checkpoints.damage.without_key import Outside, read_outside
from storage.checkpoints.errors import CheckpointError, Damaged, HeadUnreadable, RunMissing, WrongKey
from storage.checkpoints.format.head import Commit
from storage.checkpoints.format.identity import Locked
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.names import (
    COLLECTIONS,
    Kind,
    collection_key,
    collection_number,
    pack_key,
    parse_key,
)
from storage.checkpoints.format.pages import each_page, read_whole
from storage.checkpoints.format.shelf import Shelf
from storage.checkpoints.in_order import in_order
from storage.checkpoints.progress import Progress, silent
from storage.objects import NotFound

_THREADS = 8
_SMALL = 2**20
"""Bytes of a manifest up to which it is read ahead: larger ones are held one at a time."""


def verify(
    shelf: Shelf, run: str | None = None, *, deep: bool = False, progress: Progress = silent
) -> Report:
    """Check one run, or all runs and what lies beside them.

    Args:
        shelf: the repository; nothing is written.
        run: None: all, and only then unreferenced objects can be told.
        deep: read every chunk and check its hash.
        progress: told how far it is.

    Raises:
        RunMissing: there is no such run.
        WrongKey: of an encrypted repository no byte can be checked without its key.
    """
    if deep and isinstance(shelf.identity, Locked):
        shelf.identity.digest()  # refuses, and says what to give
    return _Check(shelf, deep, progress).run(run)


class _Check:
    def __init__(self, shelf: Shelf, deep: bool, progress: Progress) -> None:
        self.shelf, self.deep, self.progress = shelf, deep, progress
        self.locked = isinstance(shelf.identity, Locked)
        self.report = Report(locked=self.locked)
        self.inventory = Inventory(shelf.files)
        self.scrubber = Scrubber(shelf)
        self.asked: dict[str, int | None] = {}
        """Sizes of packs that were not as expected in the inventory: many commits may share a lost one."""

    def run(self, only: str | None) -> Report:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as pool:
            return self.check_all(only, pool)

    def check_all(self, only: str | None, pool: ThreadPoolExecutor) -> Report:
        report = self.report
        if only in self.inventory.headless:
            self.check_headless(only, pool)
            report.runs = 1
            return report
        if only is not None and only not in self.inventory.heads:
            self.shelf.read_head(only)  # begun since the listing, or missing
        runs = sorted(self.inventory.heads) if only is None else [only]
        for run in runs:
            self.check_run(run, pool)
        report.runs = len(runs)
        if only is None:
            for run in self.inventory.headless:
                self.check_headless(run, pool)
            self.check_collections()
            self.count_unreferenced()
            report.strangers = self.inventory.strangers
        return report

    def check_headless(self, run: str, pool: ThreadPoolExecutor) -> None:
        try:
            self.shelf.read_head(run)
        except RunMissing:
            self.tell_headless(run, "its head is lost")
        except CheckpointError as error:
            self.tell_headless(run, str(error))
        else:
            self.check_run(run, pool)  # begun since the listing, or repaired

    def tell_headless(self, run: str, why: str) -> None:
        """Which checkpoints a run has that no head names, and how they come back."""
        try:
            left = remains(self.shelf, run, self.progress).survivors
        except WrongKey:
            self.found(
                f"{why}; `carousel checkpoints repair {run}` with the repository's key rebuilds it", run
            )
            return
        commits = [(it.commit, it.trouble) for it in left if it.commit is not None]
        self.found(
            f"{why}: none of its {len({commit.id for commit, _ in commits})} checkpoints can be used until"
            f" `carousel checkpoints repair {run}` has rebuilt it",
            run,
        )
        for it in left:
            self.mark(Kind.MANIFEST, run, it.name)  # nobody can say that it is garbage
            for pack in it.packs:
                self.mark(Kind.PACK, "", pack)
            if it.commit is None:
                self.found(f"{it.trouble}; a repair cannot save it", run)
        for commit, trouble in commits:
            self.report.commits += 1
            self.found("its run's head is lost" + (f", and {trouble}" if trouble else ""), run, commit)

    def check_run(self, run: str, pool: ThreadPoolExecutor) -> None:
        try:
            self.shelf.read_head(run)
        except HeadUnreadable as error:
            self.tell_headless(run, str(error.__cause__))
        except CheckpointError as error:
            self.found(str(error), run)
        else:
            self.check_pages(run, pool)

    def check_pages(self, run: str, pool: ThreadPoolExecutor) -> None:
        troubled: list[tuple[Commit, list[str]]] = []
        try:
            number = 0
            for page in each_page(self.shelf, run):
                if page.name:
                    self.mark(Kind.PAGE, run, page.name)
                ahead = in_order(pool, partial(self.read_ahead, run), page.commits, ahead=_THREADS)
                for commit, manifest in zip(page.commits, ahead, strict=True):
                    self.progress(f"run {run}", number, None)
                    number += 1
                    if troubles := self.check_commit(run, commit, manifest or self.read(run, commit)):
                        troubled.append((commit, troubles))
            self.tell(run, troubled, self.named(run) if troubled else set())
        except WrongKey:
            raise
        except CheckpointError as error:
            self.found(str(error), run)
            self.tell(run, troubled, {commit.manifest for commit, _ in troubled})

    def read_ahead(self, run: str, commit: Commit) -> Manifest | Outside | str | None:
        """As `read`; None: it is too large to be held beside others."""
        return self.read(run, commit) if commit.manifest_bytes <= _SMALL else None

    def read(self, run: str, commit: Commit) -> Manifest | Outside | str:
        """A commit's manifest, without the key only its packs, or why it cannot be read."""
        try:
            return (
                read_outside(self.shelf, run, commit)
                if self.locked
                else self.shelf.read_manifest(run, commit)
            )
        except WrongKey:  # no damage
            raise
        except CheckpointError as error:
            return str(error)

    def check_commit(self, run: str, commit: Commit, manifest: Manifest | Outside | str) -> list[str]:
        """What is wrong with it, unless that is known."""
        self.report.commits += 1
        self.mark(Kind.MANIFEST, run, commit.manifest)
        troubles = [manifest] if isinstance(manifest, str) else self.troubles(manifest)
        self.report.marked += commit.damaged
        return [] if commit.damaged else troubles

    def named(self, run: str) -> set[str]:
        """Manifests that the run's head names now: others were dropped or repacked while we looked."""
        try:
            return {commit.manifest for commit in read_whole(self.shelf, run).entries}
        except RunMissing:
            return set()

    def tell(self, run: str, troubled: list[tuple[Commit, list[str]]], named: set[str]) -> None:
        for commit, troubles in troubled:
            if commit.manifest in named:
                for trouble in troubles:
                    self.found(trouble, run, commit)

    def troubles(self, manifest: Manifest | Outside) -> list[str]:
        """What is wrong with a commit that has this manifest."""
        troubles = []
        for pack, size in manifest.packs.items():
            self.mark(Kind.PACK, "", pack)
            there = self.size(pack, size)
            if there != size:
                troubles.append(
                    f"pack {pack} is missing"
                    if there is None
                    else f"pack {pack} has {there} bytes, not {size}"
                )
        if self.deep and not troubles and isinstance(manifest, Manifest):
            troubles += self.scrub(manifest)
        return troubles

    def size(self, pack: str, expected: int) -> int | None:
        """Bytes of a pack; one that seems to be wrong may only be younger than the inventory."""
        folder = self.inventory.folder(Kind.PACK)
        listed = None if folder is None else folder.size(pack)
        if listed == expected:
            return listed
        if pack not in self.asked:
            try:
                self.asked[pack] = self.shelf.files.size(pack_key(pack))
            except NotFound:
                self.asked[pack] = None
        return self.asked[pack]

    def scrub(self, manifest: Manifest) -> list[str]:
        """Which of a commit's bytes are wrong."""
        troubles = self.scrubber.wrong_chunks(manifest)
        self.report.chunks, self.report.bytes_read = self.scrubber.chunks, self.scrubber.bytes_read
        return troubles

    def check_collections(self) -> None:
        """Lists are never deleted, so they have no gaps; the newest must be readable, for saves read it."""
        numbers = []
        for key, _ in self.shelf.files.list(COLLECTIONS):
            try:
                numbers.append(collection_number(key))
            except Damaged as error:
                self.found(str(error))
        newest = max(numbers, default=0)
        if lacking := newest - len(numbers):
            self.report.remarks.append(
                f"{lacking:,} of the lists of {newest:,} collections are missing, which nobody deletes; saves"
                " need the newest one only"
            )
        for number in sorted(numbers):
            try:
                condemned = self.shelf.condemned(number, number)
            except Damaged as error:
                if number == newest:
                    self.found(str(error))
                else:
                    self.report.remarks.append(f"{error}; a newer one is there")
                continue
            wrong = [it for it in condemned if (at := parse_key(it)) is None or not at.name]
            if wrong:
                self.found(
                    f"{collection_key(number)} condemns {min(wrong)[:200]!r}, which is no pack, manifest or"
                    " page"
                )
        self.report.collections = newest

    def count_unreferenced(self) -> None:
        """What no head names."""
        for folder in self.inventory.folders.values():
            for _, size in folder.unmarked():
                self.report.unreferenced += 1
                self.report.unreferenced_bytes += size

    def mark(self, kind: Kind, run: str, name: str) -> None:
        folder = self.inventory.folder(kind, run)
        if folder is not None:
            folder.mark(name)

    def found(self, what: str, run: str = "", commit: Commit | None = None) -> None:
        self.report.found += 1
        if len(self.report.findings) < TOLD:
            identity, step = ("", None) if commit is None else (commit.id, commit.step)
            self.report.findings.append(Finding(run, identity, step, what))
