"""A repository: one prefix of a bucket that holds checkpoints of any number of runs."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Self

from storage.checkpoints.collect.collected import Collected, Doomed
from storage.checkpoints.collect.collector import collect
from storage.checkpoints.collect.explain import explain
from storage.checkpoints.collect.keepers import Freed, Keeper, freed_by, keepers
from storage.checkpoints.collect.pack_lists import PackLists
from storage.checkpoints.collect.repack import Repacked, repack
from storage.checkpoints.collect.shares import Shares, count_shares
from storage.checkpoints.collect.statistics import Statistics, count
from storage.checkpoints.collect.undo import undo_drop
from storage.checkpoints.collect.unreadable import begin_newer, unreadable_newest
from storage.checkpoints.commits import dropping, marks
from storage.checkpoints.commits.dropping import Dropped
from storage.checkpoints.commits.fork import Branch
from storage.checkpoints.commits.retention import Retention
from storage.checkpoints.damage.findings import Report
from storage.checkpoints.damage.repairing import Repaired, broken_runs, repair
from storage.checkpoints.damage.verify import verify
from storage.checkpoints.errors import (
    Damaged,
    RepositoryMissing,
    RunExists,
    UnsupportedRepository,
    WrongKey,
)
from storage.checkpoints.format import canonical, fields
from storage.checkpoints.format.head import Commit, Head, Parent
from storage.checkpoints.format.identity import CLEAR, Locked
from storage.checkpoints.format.keyring import CIPHER, Keyring
from storage.checkpoints.format.names import REPOSITORY, SMALL_LIMIT, Nonces, checked_word, fresh_nonce
from storage.checkpoints.format.outer_key import OuterKey
from storage.checkpoints.format.pages import read_whole
from storage.checkpoints.format.shelf import FORMAT, Retries, Shelf, utc_now
from storage.checkpoints.format.store import Below, ObjectStore
from storage.checkpoints.progress import Progress, silent
from storage.checkpoints.restore.choosing import (
    NEWEST,
    Restored,
    nothing_complete,
    restore_newest,
    restore_one,
    restore_rows,
)
from storage.checkpoints.restore.complete import Complete, find_complete
from storage.checkpoints.restore.differences import Compared, compare
from storage.checkpoints.restore.rows import Rows
from storage.checkpoints.save.writer import RunWriter
from storage.checkpoints.tensor import Tensor
from storage.objects import Exists, NotFound, OutcomeUnknown, TryAgain


class Repository:
    """Checkpoints of any number of runs. May be shared between threads."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._probed = False

    @classmethod
    def create(
        cls,
        bucket: ObjectStore,
        prefix: str,
        *,
        key: OuterKey | None = None,
        nonces: Nonces = fresh_nonce,
        clock: Callable[[], str] = utc_now,
        pause: Callable[[float], None] = time.sleep,
    ) -> Self:
        """Make a repository unless it is there already.

        Args:
            bucket: a `storage.objects.Bucket`.
            prefix: where in the bucket; "" is its root.
            key: opens an encrypted repository, and makes a new one encrypted; None: in the clear.
            nonces: source of names; they must never repeat.
            clock: tells when a commit was made.
            pause: waits between tries.

        Raises:
            UnsafeServer: the server cannot be written to safely.
            UnsupportedRepository: another version made it.
            WrongKey: it is encrypted and the key does not open it, or it is not and a key was given.
        """
        repository = cls(Shelf(Below(bucket, prefix), nonces=nonces, clock=clock, pause=pause))
        shelf = repository.writable()
        encryption: dict[str, str] | None = None
        if key is not None:
            if next(iter(shelf.files.list(REPOSITORY)), None) is not None:  # else each call would leave a key
                repository._check(key)
                return repository
            ring = Keyring.make(shelf.files, key, nonces)
            encryption = {"check": ring.check, "cipher": CIPHER}
            shelf.identity = ring.identity
        content = canonical.dumps({"encryption": encryption, "format": FORMAT})
        retries = Retries(shelf, f"creating a repository at {shelf.place!r}")
        while True:
            try:
                shelf.files.put_if_absent(REPOSITORY, content)
                return repository
            except Exists:
                repository._check(key)
                return repository
            except (OutcomeUnknown, TryAgain) as error:
                retries.after(error)

    @classmethod
    def open(cls, bucket: ObjectStore, prefix: str, *, key: OuterKey | None = None) -> Self:
        """Raises RepositoryMissing, UnsupportedRepository, Damaged, WrongKey.

        Without its key, an encrypted one can be listed and collected, and neither read nor written.
        """
        repository = cls(Shelf(Below(bucket, prefix)))
        repository._check(key)
        return repository

    def rotate_key(self, key: OuterKey, new: OuterKey) -> int:
        """Let only `new` open the repository from now on; how many keys were shut out. See `Keyring`.

        Raises:
            WrongKey: `key` does not open it, or it is not encrypted.
        """
        check = self._encryption()
        if check is None:
            raise WrongKey(
                f"the repository at {self.shelf.place!r} is not encrypted: it has no key to change"
            )
        ring = Keyring.open(self.shelf.files, key, check)
        return ring.rotate(new, self.shelf.nonce)

    def writable(self) -> Shelf:
        """The shelf, once the server has passed the probe. Raises UnsafeServer."""
        if not self._probed:
            self.shelf.files.probe()
            self._probed = True
        return self.shelf

    def runs(self) -> list[str]:
        """All runs, sorted. Lists everything below `runs/`: a request per 1,000 manifests."""
        return self.shelf.runs()

    def head(self, run: str) -> Head:
        """A run's head. Raises RunMissing, Damaged."""
        head, _ = self.shelf.read_head(run)
        return head

    def commits(self, run: str) -> tuple[Commit, ...]:
        """All commits of a run in the order they were written, those of its head's pages included."""
        return read_whole(self.shelf, run).commits

    def newest_complete(self, run: str) -> Commit:
        """The newest commit whose manifest can be read and whose packs are there with their sizes.

        Bytes of packs are not read: a restore checks them.

        Raises:
            RunMissing, CommitMissing: there is none such.
        """
        return find_complete(self.shelf, run, NEWEST).commit

    def find(self, run: str, commit: str = NEWEST) -> Complete:
        """A commit with its manifest, as in `restore`; bytes of packs are not read.

        Raises:
            RunMissing, CommitMissing, Damaged: there is none such, or it is not complete.
        """
        return find_complete(self.shelf, run, commit)

    def restore(self, run: str, commit: str = NEWEST, *, names: Collection[str] | None = None) -> Restored:
        """Read a commit: all its tensors, or those in `names` (empty: only its meta).

        Args:
            run: the run.
            commit: an id or its first digits, a tag, or "newest": the highest step that is complete.
            names: which tensors; None means all.

        Raises:
            RunMissing, CommitMissing: there is none such.
            Damaged: its bytes are not what they must be ("newest" passes over such commits, and says so).
            TooLarge: it exceeds this host's memory.
        """
        if commit != NEWEST:
            return restore_one(self.shelf, run, commit, names)
        restored, notes, _ = self.restore_newest(run, names)
        if restored is None:
            raise nothing_complete(run, notes)
        return restored

    def restore_rows(self, run: str, commit: str, rows: Sequence[Rows]) -> tuple[list[Tensor], int]:
        """Read only some rows of some tensors, such as the shards of one rank.

        Returns:
            A tensor for each of `rows`, and the bytes that were fetched from packs.

        Raises:
            RunMissing, CommitMissing: there is no such run, commit or tensor.
            ValueError: a tensor does not have these rows.
            Damaged, TooLarge: as `restore`.
        """
        return restore_rows(self.shelf, run, commit, rows)

    def restore_newest(
        self, run: str, names: Collection[str] | None
    ) -> tuple[Restored | None, list[str], list[str]]:
        """See `storage.checkpoints.restore.choosing.restore_newest`."""
        return restore_newest(self.shelf, run, names)

    def fork(self, run: str, commit: str, new_run: str, attempt: str) -> RunWriter:
        """Begin `new_run` with a commit of `run` (as in `restore`); stores no tensor bytes.

        A fork of the same commit that was killed before it landed is finished. Bytes of packs are not read,
        only their sizes: a restore checks them. `skipped` of what is returned tells which newer commits were
        passed over, because they are damaged.

        Raises:
            RunExists: choose another name.
            RunMissing, HeadLost, CommitMissing, Damaged: there is nothing to fork from.
        """
        checked_word(new_run, "run")
        origin = find_complete(self.writable(), run, commit)
        parent = Parent(run, origin.commit.id)
        try:
            writer = RunWriter.create(self, new_run, attempt, parent=parent)
        except RunExists:
            there = self.head(new_run)
            if there.commits or there.pages or there.parent != parent:
                raise
            writer = RunWriter.take_over(self, new_run, attempt)
        writer.skipped = origin.skipped
        writer.adopt(Branch(self.shelf, run, origin.commit, new_run, attempt))
        return writer

    def statistics(self) -> Statistics:
        """Count everything: lists the whole prefix and reads every head."""
        return count(self.shelf)

    def collect(
        self, *, dry_run: bool = False, lists: PackLists | None = None, progress: Progress = silent
    ) -> Collected:
        """Delete what no commit needs; beside live writers, see `storage.checkpoints.collect.collector`.

        What was written since the last collection is left alone, so garbage goes with the second one.
        Versioned buckets free nothing: see `Bucket.cautions`.

        Raises:
            Damaged, CommitFailed: nothing was deleted.
            UnsafeServer: the server cannot be written to safely.
        """
        shelf = self.shelf if dry_run else self.writable()
        return collect(shelf, dry_run=dry_run, lists=lists, progress=progress)

    def explain(
        self, collected: Collected, *, lists: PackLists | None = None
    ) -> Iterator[tuple[Doomed, str]]:
        """Why each object that a collection (best: a dry run) condemns is not needed, in plain words."""
        return explain(self.shelf, collected.doomed, lists)

    def keepers(
        self, packs: Collection[str], *, lists: PackLists | None = None
    ) -> Mapping[str, Sequence[Keeper]]:
        """The commits of any run that need each of these packs. Raises Damaged."""
        return keepers(self.shelf, packs, lists)

    def freed_by(self, run: str, dropped: Iterable[Commit], *, lists: PackLists | None = None) -> Freed:
        """What dropping these commits of a run frees, and who keeps the rest alive. Raises Damaged."""
        return freed_by(self.shelf, run, dropped, lists)

    def shares(self, *, lists: PackLists | None = None, progress: Progress = silent) -> Shares:
        """What each run takes of the packs, alone and with others. Raises Damaged."""
        return count_shares(self.shelf, lists, progress)

    def verify(self, run: str | None = None, *, deep: bool = False, progress: Progress = silent) -> Report:
        """Look for damage; see `storage.checkpoints.damage.verify`."""
        return verify(self.shelf, run, deep=deep, progress=progress)

    def broken_runs(self) -> list[str]:
        """Runs whose head is lost or cannot be read: `repair` gives them one."""
        return broken_runs(self.shelf)

    def unreadable_list(self) -> str | None:
        """Why the newest list of a collection cannot be read; None: it can. See `begin_newer_list`."""
        return unreadable_newest(self.shelf)

    def begin_newer_list(self) -> int | None:
        """Begin a collection that condemns nothing if the newest list cannot be read; its number.

        Saves that begin afterwards do not need the damaged one. See `storage.checkpoints.collect.unreadable`.
        """
        return begin_newer(self.writable())

    def repair(self, run: str, *, dry_run: bool = False, progress: Progress = silent) -> Repaired:
        """Rebuild a head that is lost or cannot be read; see `storage.checkpoints.damage.repairing`.

        Raises:
            NothingToRepair: it is in order, or was mended meanwhile.
            RunMissing, CommitMissing: nothing is left that could be saved.
        """
        return repair(self.shelf if dry_run else self.writable(), run, dry_run=dry_run, progress=progress)

    def retain(self, run: str, policy: Retention, *, dry_run: bool = False) -> Dropped:
        """Drop what a policy does not keep; see `storage.checkpoints.commits.dropping`."""
        return dropping.retain(self.shelf if dry_run else self.writable(), run, policy, dry_run=dry_run)

    def repack(
        self,
        run: str,
        *,
        dry_run: bool = False,
        lists: PackLists | None = None,
        progress: Progress = silent,
    ) -> Repacked:
        """Store anew what keeps bytes of dropped commits alive; see `storage.checkpoints.collect.repack`.

        Commits of other runs that share the run's packs are rewritten with it.
        """
        shelf = self.shelf if dry_run else self.writable()
        return repack(shelf, run, dry_run=dry_run, lists=lists, progress=progress)

    def drop(self, run: str, commits: Collection[str]) -> Dropped:
        """Drop these commits (ids, first digits, tags). Raises CommitPinned, CommitMissing."""
        return dropping.drop(self.writable(), run, commits)

    def undo_drop(self, run: str, commits: Collection[Commit]) -> None:
        """Take back commits that `retain` or `drop` has dropped; see `storage.checkpoints.collect.undo`.

        Raises:
            CommitMissing: something that one of them needs was collected.
        """
        undo_drop(self.writable(), run, commits)

    def compare(
        self, first: tuple[str, str], second: tuple[str, str], *, progress: Progress = silent
    ) -> Compared:
        """Which tensors differ between two commits, each a run and a commit as in `restore`."""
        return compare(self.shelf, first, second, progress)

    def tag(self, run: str, commit: str, name: str) -> Commit:
        """Let a tag name this commit (an id, first digits, a tag, "newest") and no other one of the run."""
        return marks.tag(self.writable(), run, commit, name)

    def untag(self, run: str, name: str) -> None:
        """Remove a tag; its commit stays. Raises CommitMissing: there is no such tag."""
        marks.untag(self.writable(), run, name)

    def pin(self, run: str, commit: str, holder: str) -> Commit:
        """Keep a commit from being dropped as long as `holder` (in your words) needs it."""
        return marks.pin(self.writable(), run, commit, holder)

    def unpin(self, run: str, commit: str, holder: str) -> Commit:
        """Take a pin of `holder` back. Raises CommitMissing: they have none on it."""
        return marks.unpin(self.writable(), run, commit, holder)

    def note(self, run: str, commit: str, text: str) -> Commit:
        """Say something about a commit, in place of what was said before; "" removes it."""
        return marks.note(self.writable(), run, commit, text)

    def _check(self, key: OuterKey | None = None) -> None:
        """Raises RepositoryMissing, UnsupportedRepository, Damaged, WrongKey."""
        check = self._encryption()
        if check is None:
            if key is not None:
                raise WrongKey(
                    f"the repository at {self.shelf.place!r} is not encrypted, but a key was given; leave the"
                    " key out, or begin an encrypted one at another prefix"
                )
            self.shelf.identity = CLEAR
        elif key is None:
            self.shelf.identity = Locked(self.shelf.place)
        else:
            self.shelf.identity = Keyring.open(self.shelf.files, key, check).identity

    def _encryption(self) -> str | None:
        """Read `repository.json`; by what its data key is known, None: it has none."""
        place = self.shelf.place
        try:
            data = self.shelf.files.get(REPOSITORY, SMALL_LIMIT).data
        except NotFound as error:
            raise RepositoryMissing(
                f"there is no checkpoint repository at {place!r}: {REPOSITORY} is missing; create one,"
                " or correct the prefix"
            ) from error
        value = canonical.loads(data, f"{place}{REPOSITORY}")
        if not isinstance(value, dict) or type(value.get("format")) is not int:
            raise Damaged(f"{place}{REPOSITORY} does not name the version of its format")
        if not 1 <= value["format"] <= FORMAT:
            raise UnsupportedRepository(
                f"the repository at {place!r} has format {value['format']}, this program reads and writes"
                f" formats 1 to {FORMAT}; use the version that made it, or another prefix"
            )
        self.shelf.format = value["format"]
        if (encryption := value.get("encryption")) is None:
            return None
        got = fields.Fields(encryption, f"{place}{REPOSITORY}.encryption", ("check", "cipher"))
        if got.text("cipher") != CIPHER:
            raise UnsupportedRepository(
                f"the repository at {place!r} is encrypted by {got.text('cipher')[:40]!r}, this program knows"
                f" {CIPHER}; use a newer version"
            )
        return got.text("check")
