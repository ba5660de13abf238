"""Rebuild a head that is lost, or unreadable with its pages, from what is left of its run.

The order of steps: docs/checkpoint-format.md#repair

Every commit comes back whose manifest can be read, those too that were dropped and not collected yet, and
saves that never landed: without the head nobody can tell them from the others. What stands in a list of
condemned objects may be on its way out, so it is not named: its bytes are read, checked by hash, stored anew.

While there is no head, or none that can be read with its pages, no collection deletes anything. So all that
is to be saved is copied before the head is written, in one conditional PUT: at no moment is a part of it at
risk. Beside a head that names a lost page a trainer may go on: what it changes meanwhile is looked at anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from storage.checkpoints.collect.inventory import Inventory
from storage.checkpoints.collect.unreadable import maybe_condemned
from storage.checkpoints.commits.claim import Claim
from storage.checkpoints.commits.memory import Memory
from storage.checkpoints.damage.survivors import Remains, Survivor, dressed, remains
from storage.checkpoints.errors import CommitMissing, Damaged, NothingToRepair, RunMissing
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.head import HEAD_LIMIT, Commit, Head
from storage.checkpoints.format.locations import Location
from storage.checkpoints.format.names import head_key, pack_key
from storage.checkpoints.format.pages import broken_page, turned
from storage.checkpoints.format.shelf import Retries, Shelf
from storage.checkpoints.progress import Progress, silent
from storage.checkpoints.restore.reading import read_tensors
from storage.checkpoints.save.draft import Draft
from storage.checkpoints.save.state import State
from storage.objects import Exists, LostRace, NotFound, OutcomeUnknown, TryAgain


@dataclass(frozen=True, slots=True)
class Lost:
    """A manifest whose commit cannot be saved."""

    manifest: str
    commit: Commit | None
    """None: not even that can be told."""
    why: str
    """Plain words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Repaired:
    """What a repair did, or would do."""

    run: str
    trouble: str
    """What was wrong with the head, in plain words."""
    named: tuple[Commit, ...] = ()
    """All commits of the new head, in the order in which they were made."""
    copied: tuple[Commit, ...] = ()
    """Those among them that were stored anew, or would be."""
    incomplete: tuple[Lost, ...] = ()
    """Those among them that are named as damaged, as packs of them are missing or cut short."""
    lost: tuple[Lost, ...] = ()
    """What could not be saved. It is garbage now."""
    told: tuple[str, ...] = ()
    """Ids of commits whose metrics, tags, pins and notes were found on old pages."""
    bad_pages: tuple[str, ...] = ()
    """Plain words about each page that could not be read."""

    @property
    def forgotten(self) -> int:
        """Commits of which only the lost head knew metrics, tags, pins and notes."""
        return len(self.named) - len(self.told)


def broken_runs(shelf: Shelf) -> list[str]:
    """Runs whose head or a page is lost or cannot be read, sorted. Lists the repository, and reads these."""
    inventory = Inventory(shelf.files)
    found = set()
    for run in {*inventory.heads, *inventory.headless}:
        try:
            if broken_page(shelf, run, shelf.read_head(run)[0]) is not None:
                found.add(run)
        except (Damaged, RunMissing):
            found.add(run)
    return sorted(found)


def repair(shelf: Shelf, run: str, *, dry_run: bool = False, progress: Progress = silent) -> Repaired:
    """Give a run a head again.

    The new head's writer is nobody: a trainer that still lives stops, and a resume takes the run over. A
    commit that is copied is held in memory as a whole.

    Args:
        shelf: the repository.
        run: whose head, or a page that it names, is lost or cannot be read.
        dry_run: only say what would be done; bytes of packs are not read then.
        progress: told how far it is.

    Raises:
        NothingToRepair: its head is in order, or somebody else has mended it meanwhile.
        RunMissing: nothing is there that could be repaired.
        CommitMissing: not one commit of it can be saved; nothing was changed.
        UnsupportedRepository, WrongKey, CommitFailed: nothing was changed.
    """
    retries = Retries(shelf, f"repairing the head of run {run!r}")
    while True:
        try:
            return _Repair(shelf, run, progress).run(dry_run)
        except _Changed as error:
            retries.after(LostRace(str(error)))


class _Changed(Exception):
    """A head that names a lost page was changed meanwhile: what it names now is to be kept too."""


class _Repair:
    """Steps (1) to (4) are those of docs/checkpoint-format.md#repair."""

    def __init__(self, shelf: Shelf, run: str, progress: Progress) -> None:
        self.shelf, self.name, self.progress = shelf, run, progress
        self.writer = f"repair-{shelf.nonce()}"
        self.sent = False
        self.condemned: set[str] = set()
        self.lost: dict[str, Lost] = {}
        self.copied: set[str] = set()
        self.locations: dict[ChunkId, Location] = {}
        self.pack_bytes: dict[str, int] = {}
        self.old: Head | None = None
        """A head that can be read, but not with all of its pages."""

    def run(self, dry_run: bool) -> Repaired:
        etag, trouble = self.broken_head()
        newest = self.shelf.newest_collection()  # (1), before anything is read that may be named
        left = remains(self.shelf, self.name, self.progress)
        if self.old is not None:
            left = left.also_told(self.old.commits)
            here = {it.commit.id for it in left.survivors if it.commit is not None}
            gone = [it for it in self.old.commits if it.id not in here]
            self.lost.update((it.manifest, Lost(it.manifest, it, "its manifest is lost")) for it in gone)
        if not left.survivors and trouble is None:
            raise RunMissing(f"there is no run {self.name!r} in the repository at {self.shelf.place!r}")
        self.looked = min((it.oldest for it in left.survivors), default=newest) - 1
        self.look(left.survivors, newest)
        chosen = self.choose(left)
        if dry_run:
            self.copied = {it.name for it in chosen if self.is_condemned(it)}
        else:
            chosen = self.land(chosen, left, newest, etag)
        return self.told(chosen, left, trouble or "it is lost")

    def broken_head(self) -> tuple[str | None, str | None]:
        """ETag of the head, what is wrong with it or a page; nothing: it is lost. Raises NothingToRepair."""
        what = f"the head of run {self.name!r}"
        try:
            found = self.shelf.files.get(head_key(self.name), HEAD_LIMIT)
        except NotFound:
            return None, None
        except Damaged as error:
            return self.shelf.files.etag(head_key(self.name)), str(error)
        try:
            head = Head.from_bytes(found.data, what)
        except Damaged as error:
            return found.etag, str(error)
        if (trouble := broken_page(self.shelf, self.name, head)) is not None:
            self.old = head
            return found.etag, trouble
        if self.sent:
            raise NothingToRepair(
                f"{what} was mended meanwhile, by {head.writer!r}; look at it with"
                f" `carousel checkpoints list {self.name}`"
            )
        raise NothingToRepair(f"{what} is in order and names {len(head.commits)} commits: nothing to repair")

    def look(self, survivors: Iterable[Survivor], newest: int) -> None:
        """Learn which of their objects stand in lists up to `newest` that were not looked at yet."""
        ours = set[str]().union(*(it.keys(self.name) for it in survivors))
        self.condemned |= maybe_condemned(self.shelf, ours, self.looked + 1, newest)
        self.looked = max(self.looked, newest)

    def is_condemned(self, survivor: Survivor) -> bool:
        return not self.condemned.isdisjoint(survivor.keys(self.name))

    def choose(self, left: Remains) -> list[Survivor]:
        """One manifest of each commit: the one that is best off; all others of it are not needed."""
        best: dict[str, Survivor] = {}
        for it in left.survivors:
            if it.commit is None:
                self.lost[it.name] = Lost(it.name, None, it.trouble or "")
            elif it.commit.id not in best or self.rank(it) >= self.rank(best[it.commit.id]):
                best[it.commit.id] = it
        chosen = []
        for it in left.survivors:
            if it.commit is None or best[it.commit.id] is not it:
                continue
            if it.trouble and self.is_condemned(it):
                self.lost[it.name] = Lost(it.name, it.commit, f"condemned by a collection, and {it.trouble}")
            else:
                chosen.append(dressed(it, left.told.get(it.commit.id, ())))
        return chosen

    def rank(self, survivor: Survivor) -> tuple[bool, bool, str]:
        return survivor.trouble is None, not self.is_condemned(survivor), survivor.name

    def land(self, chosen: list[Survivor], left: Remains, newest: int, before: str | None) -> list[Survivor]:
        """Steps (2) to (4); what the new head names. `before`: ETag of the head when it was first read."""
        retries = Retries(self.shelf, f"repairing the head of run {self.name!r}")
        while True:
            chosen = self.stored_anew(chosen, newest)  # (2)
            etag, _ = self.broken_head()  # (3)
            if self.old is not None and etag != before:
                raise _Changed("somebody else keeps changing it")
            newest = self.shelf.newest_collection()
            self.look(chosen, newest)
            if any(map(self.is_condemned, chosen)):
                continue
            if left.survivors and not chosen:
                raise CommitMissing(
                    f"not one of {len(left.survivors)} manifests of run {self.name!r} can be saved; nothing"
                    " was changed. Bring its objects back, or remove them if nobody wants the run any more"
                )
            head = Head(
                version=max(len(left.survivors), 0 if self.old is None else self.old.version + 1),
                nonce=self.shelf.nonce(),
                writer=self.writer,
                parent=None if self.old is None else self.old.parent,
                commits=tuple(it.commit for it in chosen if it.commit is not None),
            )
            try:
                self.put(turned(self.shelf, self.name, head, newest), etag)  # (4)
                return chosen
            except (Exists, LostRace, OutcomeUnknown, TryAgain) as error:
                self.sent = True
                if self.is_ours():
                    return chosen
                retries.after(error)

    def put(self, head: Head, etag: str | None) -> None:
        if etag is None:
            self.shelf.create_head(self.name, head)
        else:
            self.shelf.change_head(self.name, head, etag)

    def is_ours(self) -> bool:
        """Whether the head is the one that we have sent and whose answer was lost, rewritten or not."""
        try:
            return self.shelf.read_head(self.name)[0].writer == self.writer
        except (Damaged, RunMissing):
            return False

    def stored_anew(self, chosen: list[Survivor], newest: int) -> list[Survivor]:
        """The same, but nothing of them is condemned; those whose bytes are not whole are left out."""
        staying = []
        doomed = [it for it in chosen if self.is_condemned(it)]
        for it in chosen:
            if it not in doomed:
                staying.append(it)
                continue
            self.progress("storing anew", len(self.copied), len(doomed))
            try:
                staying.append(self.copy(it, newest))
            except Damaged as error:
                self.lost[it.name] = Lost(it.name, it.commit, f"condemned by a collection, and {error}")
        return staying

    def copy(self, survivor: Survivor, newest: int) -> Survivor:
        """Its content in new objects; chunks that lie in packs which nobody has condemned stay there."""
        commit = survivor.commit
        assert commit is not None
        old = self.shelf.read_manifest(self.name, commit)
        tensors, _ = read_tensors(self.shelf.files, old, None, f"{self.name}/{commit.id}")
        draft = Draft.of(tensors, old.meta, commit.step, self.shelf.identity)
        memory = Memory(Head(version=0, nonce="", writer=self.writer), "", newest)
        memory.locations = {
            chunk: at
            for chunk, at in {**self.locations, **old.locations}.items()
            if pack_key(at.pack) not in self.condemned
        }
        memory.pack_bytes = {**self.pack_bytes, **old.packs}
        claim = Claim(self.shelf, self.name, old.attempt)
        state = State.of(claim, memory, draft, commit.metrics, commit.tags, created=old.created)
        new = state.store()
        manifest = state.written[new.manifest]
        self.locations.update(manifest.locations)
        self.pack_bytes.update(manifest.packs)
        self.copied.add(new.manifest)
        stored = replace(
            commit, manifest=new.manifest, manifest_bytes=new.manifest_bytes, new_bytes=new.new_bytes
        )
        return Survivor(new.manifest, stored, dict(manifest.packs), None)

    def told(self, chosen: list[Survivor], left: Remains, trouble: str) -> Repaired:
        """The report."""
        named = [(it, it.commit) for it in chosen if it.commit is not None]
        incomplete = [Lost(it.name, commit, it.trouble) for it, commit in named if it.trouble]
        return Repaired(
            run=self.name,
            trouble=trouble,
            named=tuple(commit for _, commit in named),
            copied=tuple(commit for it, commit in named if it.name in self.copied),
            incomplete=tuple(incomplete),
            lost=tuple(self.lost.values()),
            told=tuple(commit.id for _, commit in named if commit.id in left.told),
            bad_pages=left.bad_pages,
        )
