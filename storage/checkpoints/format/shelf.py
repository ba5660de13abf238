"""The objects of one repository, read and written one at a time; their order is their callers' duty."""

import random
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Self

from storage.checkpoints.errors import CommitFailed, Damaged, HeadLost, HeadUnreadable, RunMissing, TooLarge
from storage.checkpoints.format import canonical, fields
from storage.checkpoints.format.head import HEAD_LIMIT, MANIFEST_LIMIT, PAGES_LIMIT, Commit, Head, parse_page
from storage.checkpoints.format.identity import CLEAR, Identity
from storage.checkpoints.format.manifest import Manifest
from storage.checkpoints.format.names import (
    COLLECTIONS,
    RUNS,
    Kind,
    Nonces,
    collection_key,
    collection_number,
    fresh_nonce,
    head_key,
    is_word,
    manifest_key,
    manifests_below,
    object_name,
    page_key,
    parse_key,
)
from storage.checkpoints.format.store import Below
from storage.objects import Exists, NotFound, Object, ObjectError, OutcomeUnknown, Truncated, TryAgain


def utc_now() -> str:
    """Now, as commits tell it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


COLLECTION_LIMIT = 64 * 2**20
"""Bytes of a collection's list: of this program's at most 250,000 keys, no more than 48 MB."""

FORMAT = 2
"""Newest version of the format: what a new repository gets."""


class Shelf:
    """Heads, manifests, pages and collections, parsed."""

    format: int
    """Version of the format that is written; a younger program adds nothing that older ones cannot read."""

    def __init__(
        self,
        files: Below,
        *,
        format_: int = FORMAT,
        nonces: Nonces = fresh_nonce,
        clock: Callable[[], str] = utc_now,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.files = files
        self.format = format_
        self.identity: Identity = CLEAR
        self.nonce = nonces
        self.clock = clock
        self.pause = pause

    def runs(self) -> list[str]:
        """Runs that have a head, sorted. Lists everything below `runs/`: a request per 1,000 manifests."""
        parsed = (parse_key(key) for key, _ in self.files.list(RUNS))
        return sorted({key.run for key in parsed if key is not None and key.kind is Kind.HEAD})

    def run_names(self) -> list[str]:
        """Names of runs, with or without a head, in any order: a request for 1,000, whatever they hold."""
        return [name for name in self.files.folders(RUNS) if is_word(name)]

    def has_lost_head(self, run: str) -> bool:
        """Whether the run has manifests and no head: a run's head is there before its first manifest."""
        if next(iter(self.files.list(manifests_below(run))), None) is None:
            return False
        try:
            self._get_head(run)
        except NotFound:
            return True
        return False

    def read_head(self, run: str) -> tuple[Head, str]:
        """A run's head and its ETag.

        Raises:
            RunMissing: there is no such run.
            HeadLost: there was one: its manifests are there, and no head names them.
            HeadUnreadable: it is no head.
        """
        try:
            found = self._get_head(run)
        except NotFound as error:
            if self.has_lost_head(run):
                raise HeadLost(
                    f"run {run!r} has checkpoints, but its head, which names them, is lost: `carousel"
                    f" checkpoints repair {run}` rebuilds it"
                ) from error
            raise RunMissing(f"there is no run {run!r} in the repository at {self.place!r}") from error
        except Damaged as error:
            raise _unreadable(run, error) from error
        try:
            return Head.from_bytes(found.data, f"the head of run {run!r}"), found.etag
        except Damaged as error:
            raise _unreadable(run, error) from error

    def _get_head(self, run: str) -> Object:
        return self.files.get(head_key(run), HEAD_LIMIT)

    def create_head(self, run: str, head: Head) -> str:
        """Raises Exists, TryAgain, OutcomeUnknown."""
        return self.files.put_if_absent(head_key(run), self._checked(run, head))

    def change_head(self, run: str, head: Head, etag: str) -> str:
        """Raises LostRace, TryAgain, OutcomeUnknown."""
        return self.files.put_if_match(head_key(run), self._checked(run, head), etag)

    def read_manifest(self, run: str, commit: Commit) -> Manifest:
        """A commit's manifest. Raises Damaged: it is missing, or is not this commit's."""
        what = f"manifest {commit.manifest} of {run}/{commit.id}"
        try:
            data = self.files.get_range(manifest_key(run, commit.manifest), 0, commit.manifest_bytes)
        except (NotFound, Truncated) as error:
            raise Damaged(f"{what} is missing or cut short ({error})") from error
        manifest = Manifest.from_bytes(data, what, self.identity)
        if manifest.commit_id != commit.id or manifest.raw_bytes != commit.raw_bytes:
            raise Damaged(f"{what} holds another commit, {manifest.commit_id}")
        return manifest

    def write_manifest(self, run: str, manifest: Manifest, generation: int) -> tuple[str, int]:
        """Write under a new name; the name and the bytes. Raises TooLarge."""
        data = manifest.to_bytes()
        if len(data) > MANIFEST_LIMIT:
            raise TooLarge(f"the manifest takes {len(data)} bytes, more than {MANIFEST_LIMIT}; save less")
        name = self.new_name(generation)
        self.files.put(manifest_key(run, name), data)
        return name, len(data)

    def read_page(self, run: str, name: str, size: int) -> tuple[Commit, ...]:
        """A page's commits. Raises Damaged."""
        what = f"page {name} of run {run!r}"
        try:
            return parse_page(self.files.get_range(page_key(run, name), 0, size), what)
        except (NotFound, Truncated) as error:
            raise Damaged(f"{what} is missing or cut short ({error})") from error

    def write_page(self, run: str, commits: Iterable[Commit], generation: int) -> tuple[str, int]:
        """Write a page under a new name; the name and the bytes."""
        data = canonical.dumps({"commits": [commit.to_json() for commit in commits]})
        name = self.new_name(generation)
        self.files.put(page_key(run, name), data)
        return name, len(data)

    def newest_collection(self) -> int:
        """Number of the newest collection; 0: none yet. Raises Damaged."""
        return max(self.collections(), default=0)

    def collections(self) -> list[int]:
        """Numbers of all collections, sorted. Raises Damaged."""
        return sorted(collection_number(key) for key, _ in self.files.list(COLLECTIONS))

    def condemned(self, first: int, last: int) -> set[str]:
        """Keys that stand in a collection from `first` to `last`, both included. Raises Damaged."""
        keys: set[str] = set()
        for number in range(max(first, 1), last + 1):  # there is no collection 0
            try:
                keys.update(self._list(number))
            except Damaged as error:
                raise Damaged(
                    f"{error}. No checkpoint is lost with it: `carousel checkpoints gc` or `repair` begins a"
                    " newer collection if there is none, and runs that are begun or resumed after that do"
                    " not need this one"
                ) from error
        return keys

    def _list(self, number: int) -> list[str]:
        what = f"collection {number}"
        try:
            data = self.files.get(collection_key(number), COLLECTION_LIMIT).data
        except NotFound as error:
            raise Damaged(f"{what} is missing, but collections are never deleted") from error
        return parse_collection(data, what)

    def create_collection(self, number: int, condemned: Iterable[str]) -> bool:
        """Write the list of collection `number`; False: another collection has written it.

        An answer that was lost is looked for. Another collection's list of the very same keys counts as ours:
        what is condemned is all that matters.
        """
        key, content = collection_key(number), canonical.dumps({"condemned": sorted(condemned)})
        retries = Retries(self, f"beginning collection {number}")
        while True:
            try:
                self.files.put_if_absent(key, content)
                return True
            except Exists:
                return self.files.get(key, COLLECTION_LIMIT).data == content
            except (OutcomeUnknown, TryAgain) as error:
                retries.after(error)

    def new_name(self, generation: int) -> str:
        """A name that no object has."""
        return object_name(generation, self.nonce())

    @property
    def place(self) -> str:
        """The repository's prefix, for messages."""
        return self.files.prefix

    def _checked(self, run: str, head: Head) -> bytes:
        data = head.to_bytes()
        if len(data) > HEAD_LIMIT:
            raise TooLarge(
                f"the head of run {run!r} would take {len(data)} bytes for {len(head.commits)} commits,"
                f" more than {HEAD_LIMIT}; drop old commits"
            )
        if len(head.pages) > PAGES_LIMIT:
            raise TooLarge(
                f"the head of run {run!r} would name {len(head.pages)} pages of older commits, more than"
                f" {PAGES_LIMIT}; drop old commits"
            )
        return data


def _unreadable(run: str, error: Damaged) -> HeadUnreadable:
    """With the remedy. A head of a newer program is no damage, and another error."""
    return HeadUnreadable(f"{error}: `carousel checkpoints repair {run}` rebuilds it")


def parse_collection(data: bytes, what: str) -> list[str]:
    """The keys that a collection has condemned. Raises Damaged."""
    got = fields.Fields(canonical.loads(data, what), what, ("condemned",))
    return [fields.text(key, what) for key in got.items("condemned")]


_JITTER = random.Random()  # noqa: S311 - no secret; our own, because a trainer's generators must not be touched


class Retries:
    """Counts the tries of one change of a head, and waits longer from one to the next."""

    LIMIT = 25
    _FIRST_S, _LONGEST_S = 0.01, 2.0

    def __init__(self, shelf: Shelf, what: str) -> None:
        self._pause, self._what, self._tries = shelf.pause, what, 0

    def after(self, error: ObjectError) -> Self:
        """Wait, or raise CommitFailed when it has been tried often enough."""
        self._tries += 1
        if self._tries >= self.LIMIT:
            raise CommitFailed(
                f"{self._what} failed {self._tries} times, last: {error}; is the server in order,"
                " and does nothing else keep changing the run?"
            ) from error
        longest = min(self._LONGEST_S, self._FIRST_S * 2**self._tries)
        self._pause(longest * _JITTER.uniform(0.5, 1))
        return self
