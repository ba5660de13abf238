"""The one trainer of a run: creates or takes over its head, and saves commits."""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from storage.checkpoints.commits.claim import UNDECIDED, Claim
from storage.checkpoints.commits.counted_on import Counted
from storage.checkpoints.commits.landing import Content, land
from storage.checkpoints.commits.memory import Memory
from storage.checkpoints.commits.retention import Retention
from storage.checkpoints.commits.said import Retold, Said
from storage.checkpoints.errors import HeadLost, InvalidName, RunExists
from storage.checkpoints.format.chunks import ChunkId
from storage.checkpoints.format.head import Commit, Head, Parent
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.names import NEWEST, checked_tags, checked_word
from storage.checkpoints.format.shelf import Retries
from storage.checkpoints.hints import AdamHint
from storage.checkpoints.restore.choosing import Restored, nothing_complete
from storage.checkpoints.restore.inspection import Inspector
from storage.checkpoints.save.borrowing import borrow
from storage.checkpoints.save.delta_policy import DeltaPolicy
from storage.checkpoints.save.draft import Draft, Outline
from storage.checkpoints.save.inherited import Inheritance, InheritingPredictor
from storage.checkpoints.save.predicting import Predictor, Previous
from storage.checkpoints.save.state import State, StoreMissing
from storage.checkpoints.save.storing import Store, store_alone
from storage.checkpoints.tensor import Tensor
from storage.objects import Exists, LostRace, OutcomeUnknown, TryAgain

if TYPE_CHECKING:
    from storage.checkpoints.repository import Repository


_USUAL = DeltaPolicy()


class RunWriter:
    """Saves commits of one run, as one attempt. May be shared between threads; saves go one by one."""

    def __init__(
        self, repository: "Repository", claim: Claim, memory: Memory, deltas: DeltaPolicy = _USUAL
    ) -> None:
        """`deltas` says how far saves may rest on earlier ones; it can be set at any time.

        Unless its limit is 0, the state that was saved last is kept in memory, to predict the next one from.
        """
        self.repository = repository
        self.deltas = deltas
        self.encoders: int | None = None
        """Threads that encode chunks; None: one for each core, four at most. Can be set at any time."""
        self.store_chunks: Store = store_alone
        """Who stores the chunks of saved states; see `Helpers`. Can be set at any time."""
        self.likely: Sequence[str] = ()
        """Runs that are asked first for what the first save can reuse. Can be set at any time before it."""
        self.skipped: tuple[str, ...] = ()
        """Of a fork of "newest": plain words about each newer commit that was passed over as damaged."""
        self._claim, self._memory = claim, memory
        self._counted = Counted(claim)
        self._previous: Previous | None = None
        self._lock = threading.Lock()

    @classmethod
    def create(
        cls, repository: "Repository", run: str, attempt: str, *, parent: Parent | None = None
    ) -> Self:
        """Begin a new run.

        Args:
            repository: where.
            run: its name.
            attempt: names this trainer; must be unique per launch.
            parent: the commit that the run goes on from, if it is a fork.

        Raises:
            RunExists, InvalidName, UnsafeServer.
            WrongKey: the repository is encrypted and was opened without its key; nothing was written.
            HeadLost: a new head would leave the checkpoints that are there to the next collection.
        """
        checked_word(run, "run")
        repository.shelf.identity.digest(b"")  # without the key, no commit would follow
        shelf = repository.writable()
        if shelf.has_lost_head(run):
            raise HeadLost(
                f"run {run!r} has checkpoints, but its head, which names them, is lost: `carousel checkpoints"
                f" repair {run}` rebuilds it; or choose another name"
            )
        newest = shelf.newest_collection()
        head = Head(version=0, nonce=shelf.nonce(), writer=checked_word(attempt, "attempt"), parent=parent)
        retries, sent = Retries(shelf, f"creating run {run!r}"), False
        while True:
            try:
                etag = shelf.create_head(run, head)
                break
            except Exists as error:
                head, etag = shelf.read_head(run)
                if sent and head.writer == attempt:  # our own first try, whose answer was lost
                    break
                raise RunExists(
                    f"run {run!r} is there already, with {len(head.commits)} commits and attempt"
                    f" {head.writer!r} as its writer; resume it, or choose another name"
                ) from error
            except (OutcomeUnknown, TryAgain) as error:
                sent = True
                retries.after(error)
        return cls(repository, Claim(shelf, run, attempt), Memory(head, etag, newest))

    @classmethod
    def take_over(cls, repository: "Repository", run: str, attempt: str) -> Self:
        """Become the run's trainer. An older one that still lives loses its next commit, and stops.

        Damaged commits (manifest or packs missing or wrong) are marked in the head. `attempt` must be new.

        Raises:
            RunMissing, UnsafeServer.
            InvalidName: also an attempt that trains the run already: both would go on, and take turns.
        """
        checked_word(attempt, "attempt")
        shelf = repository.writable()
        newest = shelf.newest_collection()  # before anything is read that may be reused
        inspector = Inspector(shelf, run)
        retries = Retries(shelf, f"taking over run {run!r}")
        sent: set[str] = set()
        may_have_landed = False
        while True:
            head, etag = shelf.read_head(run)
            verdicts = inspector.newest(head)
            if head.writer == attempt:
                if may_have_landed or head.nonce in sent:  # our own first try, whose answer was lost
                    break
                raise InvalidName(
                    f"attempt {attempt!r} is the writer of run {run!r} already, and may still live; give each"
                    " launch a name of its own, such as uuid.uuid4().hex"
                )
            damaged = {verdict.commit.id for verdict in verdicts if verdict.trouble}
            head = head.changed(shelf.nonce(), writer=attempt, commits=_marked(head, damaged))
            sent.add(head.nonce)
            try:
                etag = shelf.change_head(run, head, etag)
                break
            except UNDECIDED as error:
                may_have_landed |= not isinstance(error, LostRace)
                retries.after(error)
        memory = Memory.of(head, etag, newest, verdicts)
        return cls(repository, Claim(shelf, run, attempt), memory)

    @property
    def run(self) -> str:
        """Name of the run."""
        return self._claim.run

    @property
    def attempt(self) -> str:
        """Name of this trainer."""
        return self._claim.attempt

    @property
    def head(self) -> Head:
        """The run's head as this writer last knew it."""
        return self._memory.head

    def resume(self, *, names: Collection[str] | None = None) -> Restored:
        """Restore the newest complete commit; newer ones whose bytes prove damaged are marked so in the head.

        Reading everything (`names=None`) checks every byte that the run will go on from.

        Raises:
            CommitMissing: the run has no complete commit.
            TakenOver: another attempt trains this run by now.
        """
        restored, notes, damaged = self.repository.restore_newest(self.run, names)
        if damaged:
            self.mark_damaged(damaged)
        if restored is None:
            raise nothing_complete(self.run, notes)
        if names is None:
            self._remember(restored)
        return restored

    def mark_damaged(self, commits: Collection[str]) -> None:
        """Say in the head that these cannot be restored; their packs are not reused any more."""
        with self._lock:
            wanted = set(commits)
            for commit in self._memory.head.commits:
                if commit.id in wanted:
                    self._memory.bar(self._memory.packs_of(commit.manifest))
            what = f"marking commits of run {self.run!r} as damaged"
            self._claim.edit(self._memory, what, lambda head: _marked(head, wanted))

    def save(
        self,
        tensors: Mapping[str, Tensor],
        meta: Mapping[str, Any],
        *,
        step: int,
        metrics: Mapping[str, float] | None = None,
        tags: Collection[str] = (),
        retain: Retention | None = None,
        hints: Sequence[AdamHint] = (),
    ) -> Commit:
        """Commit a state; returns when it is durable. One that is there already only gets metrics and tags.

        Args:
            tensors: by name; must not change until this returns.
            meta: JSON-able, without NaN; stored in full in each commit, so keep large things in tensors.
            step: from 0 to 2^62; the highest one of the run is its newest commit.
            metrics: shown in lists; NaN and infinities may be among them.
            tags: names for this commit beside its id, each of at most 1,024 characters.
            retain: drop what this policy does not keep, in the same change of the head. What it counts on
                is looked at once before (its manifest, its packs and their sizes), and marked if it is not
                complete. Commits on pages of a long head stay until `Repository.retain`.
            hints: which tensors are weights and moments of an Adam: they are predicted better then.

        Raises:
            TakenOver: another attempt trains this run now; this trainer must stop.
            CommitFailed: the head could not be changed.
            InvalidName, TooLarge: what the format cannot hold.
            ValueError: meta that JSON cannot hold, or of more than 100 containers within each other, or a
                step out of range.
        """
        with self._lock:
            self._claim.check()
            draft = Draft.of(tensors, meta, step, self._claim.shelf.identity)
            numbers = {name: float(value) for name, value in (metrics or {}).items()}
            notes = numbers, checked_tags(tags)
            if retain is not None:
                self._counted.mark_broken(self._memory, retain, draft.id, step, *notes)
            predictor = self._predictor(draft, tuple(hints))
            state = State.of(
                self._claim,
                self._reusable(draft),
                draft,
                *notes,
                predictor,
                self.encoders,
                store_chunks=self.store_chunks,
                read_limit=self.deltas.read_limit,
            )
            commit = self._land(state, *notes, retain)
            self._keep(draft, tuple(hints), state.written.get(commit.manifest), state.reads)
            return commit

    def save_outline(
        self,
        outline: Outline,
        store_missing: StoreMissing,
        *,
        earlier: Collection[ChunkId] = (),
        store_alone: StoreMissing | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Collection[str] = (),
    ) -> tuple[Commit, Manifest | None, int]:
        """As `save`, of a state whose bytes other processes have, and store when `store_missing` is called.

        `earlier`: chunks that others may be predicted from. `store_alone` predicts from none of them; it is
        called too where a restore would read more than the policy allows. Returns the manifest, if this has
        written it, and the bytes that a restore reads.
        """
        with self._lock:
            self._claim.check()
            numbers = {name: float(value) for name, value in (metrics or {}).items()}
            notes = numbers, checked_tags(tags)
            state = State(
                self._claim,
                self._reusable(outline),
                outline,
                *notes,
                store_missing,
                earlier,
                store_alone=store_alone,
                read_limit=self.deltas.read_limit,
            )
            commit = self._land(state, *notes, None)
            return commit, state.written.get(commit.manifest), state.reads

    def save_said(
        self,
        tensors: Mapping[str, Tensor],
        meta: Mapping[str, Any],
        *,
        step: int,
        said: Said,
        inheritance: Inheritance | None = None,
    ) -> Commit:
        """As `save`, of a commit that says what was said of it elsewhere (a copy, an import).

        One that is there already gets metrics and tags only. `inheritance` says what it was predicted from
        elsewhere. Raises as `save`.
        """
        with self._lock:
            self._claim.check()
            draft = Draft.of(tensors, meta, step, self._claim.shelf.identity)
            notes = said.metrics, checked_tags([tag for tag in said.tags if tag not in ("", NEWEST)])
            author = Claim(self._claim.shelf, self.run, said.attempt or self.attempt)
            predictor = self._predictor(draft, (), inheritance)
            state = State.of(
                author, self._reusable(draft), draft, *notes, predictor, self.encoders, said.created
            )
            what = f"committing {self.run}/{state.id}"
            metrics, tags = notes
            commit = land(
                self._claim,
                self._memory,
                Retold(state, said),
                what,
                metrics=metrics,
                tags=tags,
                kept=said.with_own_tags,
            )
            self._keep(draft, (), state.written.get(commit.manifest), state.reads)
            return commit

    def adopt(self, content: Content) -> Commit:
        """Commit content that another run holds (a fork); the caller need not have its bytes."""
        with self._lock:
            return self._land(content, {}, (), None)

    @property
    def _keeps_states(self) -> bool:
        return self.deltas.read_limit > 0 and self._claim.shelf.format > 1

    def _predictor(
        self, draft: Draft, hints: tuple[AdamHint, ...], inheritance: Inheritance | None = None
    ) -> Predictor:
        previous = self._previous if self._keeps_states else None
        if previous is not None and not previous.allows_deltas(self.deltas, draft.raw_bytes):
            previous = None
        if inheritance is not None:
            return InheritingPredictor(draft, previous, inheritance)
        return Predictor(draft, hints, previous)

    def _reusable(self, outline: Outline) -> Memory:
        """What a save may reuse; the first one of a run looks at other runs too.

        What it takes from them is remembered only as far as the commit comes to name it.
        """
        memory = self._memory
        if memory.head.commits or memory.head.pages:
            return memory
        found = borrow(self._claim.shelf, self.run, outline, self.deltas.read_limit, self.likely)
        if not found.locations:
            return memory
        memory.settled = False  # lists must be looked at: others' packs may stand in the newest one we know
        locations = {**found.locations, **memory.locations}
        pack_bytes = {**found.pack_bytes, **memory.pack_bytes}
        return Memory(memory.head, memory.etag, memory.newest, locations=locations, pack_bytes=pack_bytes)

    def _keep(self, draft: Draft, hints: tuple[AdamHint, ...], manifest: Manifest | None, reads: int) -> None:
        """Let the next save rest on a state that this one has brought in."""
        if self._keeps_states and manifest is not None:
            self._previous = Previous.of(draft, hints, manifest, self._previous, reads=reads)

    def _remember(self, restored: Restored) -> None:
        """Let the next save rest on a state that was read."""
        with self._lock:
            if self._keeps_states and restored.manifest is not None:
                identity = self._claim.shelf.identity
                draft = Draft.of(restored.tensors, restored.meta, restored.commit.step, identity)
                added = restored.commit.new_bytes
                self._previous = Previous.of(
                    draft, (), restored.manifest, None, reads=restored.read_bytes, added=added
                )

    def _land(
        self,
        content: Content,
        metrics: Mapping[str, float],
        tags: tuple[str, ...],
        retain: Retention | None,
    ) -> Commit:
        def kept(commits: tuple[Commit, ...], new: str) -> tuple[Commit, ...]:
            return commits if retain is None else retain.kept(commits, always=(new,))

        what = f"committing {self.run}/{content.id}"
        return land(self._claim, self._memory, content, what, metrics=metrics, tags=tags, kept=kept)


def _marked(head: Head, damaged: Collection[str]) -> tuple[Commit, ...]:
    return tuple(replace(commit, damaged=True) if commit.id in damaged else commit for commit in head.commits)
