"""The head: a run's only mutable object. A checkpoint exists if and only if a head names it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from storage.checkpoints.errors import CheckpointError, Damaged
from storage.checkpoints.format import canonical, fields
from storage.checkpoints.format.names import checked_object_name, checked_word

HEAD_LIMIT = 64 * 2**20
MANIFEST_LIMIT = 64 * 2**20
PAGES_LIMIT = 50_000
"""Pages that a head names: of 385 commits each, 19 million."""

_COMMIT_FIELDS = (
    *("attempt", "created", "damaged", "id", "manifest", "metrics"),
    *("new_bytes", "raw_bytes", "step", "tags"),
)
_OPTIONAL_FIELDS = ("note", "pins")
_HEAD_FIELDS = ("commits", "nonce", "pages", "parent", "version", "writer")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """One checkpoint, as its run's head tells it; addressed as `<run>/<id>`."""

    id: str
    """32 hex digits; a hash of the logical content, so the same state saved again has the same id."""
    attempt: str
    """Who wrote it."""
    step: int
    manifest: str
    """Name of its manifest."""
    manifest_bytes: int
    raw_bytes: int
    """Bytes of all its tensors."""
    new_bytes: int
    """Bytes it added to the repository: its packs and its manifest. (The head is not counted.)"""
    created: str
    """UTC, ISO 8601."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    damaged: bool = False
    """A take-over found its manifest or packs missing or wrong: it cannot be restored in full."""
    pins: tuple[str, ...] = ()
    """Who needs it, in their own words; retention never drops a commit that somebody pins."""
    note: str = ""
    """What somebody wants to say about it."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in a head or page."""
        value: dict[str, Any] = {
            "attempt": self.attempt,
            "created": self.created,
            "damaged": self.damaged,
            "id": self.id,
            "manifest": [self.manifest, self.manifest_bytes],
            "metrics": {name: _finite(value) for name, value in self.metrics.items()},
            "new_bytes": self.new_bytes,
            "raw_bytes": self.raw_bytes,
            "step": self.step,
            "tags": list(self.tags),
        }
        if self.pins:
            value["pins"] = list(self.pins)
        if self.note:
            value["note"] = self.note
        return value

    @classmethod
    def from_json(cls, value: Any, what: str) -> Self:
        """Raises Damaged."""
        got = fields.Fields(value, what, _COMMIT_FIELDS, _OPTIONAL_FIELDS)
        manifest, size = fields.sized_name(value["manifest"], f"{what}.manifest", MANIFEST_LIMIT)
        identity = got.text("id")
        if len(identity) != 32 or set(identity) - set("0123456789abcdef"):
            raise Damaged(f"{what}.id is not 32 hex digits")
        return cls(
            id=identity,
            attempt=_word(got.text("attempt"), what),
            step=got.count("step"),
            manifest=checked_object_name(manifest, what),
            manifest_bytes=size,
            raw_bytes=got.count("raw_bytes"),
            new_bytes=got.count("new_bytes"),
            created=got.text("created", 40),
            metrics={name: _number(number, what) for name, number in got.mapping("metrics").items()},
            tags=tuple(fields.text(tag, f"{what}.tags") for tag in got.items("tags")),
            damaged=got.flag("damaged"),
            pins=tuple(fields.text(pin, f"{what}.pins") for pin in got.items("pins"))
            if "pins" in value
            else (),
            note=got.text("note") if "note" in value else "",
        )


@dataclass(frozen=True, slots=True)
class Parent:
    """Where a fork came from."""

    run: str
    commit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """All of a run's commits, and who may add to them."""

    version: int
    """Grows with every change."""
    nonce: str
    writer: str
    """The attempt that trains the run."""
    parent: Parent | None = None
    commits: tuple[Commit, ...] = ()
    """In the order they were written."""
    pages: tuple[tuple[str, int], ...] = ()
    """Name and bytes of each page of older commits, oldest first."""

    def find(self, commit: str) -> Commit | None:
        """The commit of this very id."""
        return next((known for known in self.commits if known.id == commit), None)

    def changed(self, nonce: str, **changes: Any) -> Self:
        """The next version of this head."""
        return replace(self, version=self.version + 1, nonce=nonce, **changes)

    def with_commit(self, commit: Commit) -> tuple[Commit, ...]:
        """The commits with one more; one of the same id is replaced, in its place unless it is damaged."""
        there = self.find(commit.id)
        if there is None or there.damaged:
            return (*(known for known in self.commits if known.id != commit.id), commit)
        return tuple(commit if known.id == commit.id else known for known in self.commits)

    def to_bytes(self) -> bytes:
        """The object's content."""
        parent = self.parent
        return canonical.dumps(
            {
                "commits": [commit.to_json() for commit in self.commits],
                "nonce": self.nonce,
                "pages": [[name, size] for name, size in self.pages],
                "parent": None if parent is None else {"commit": parent.commit, "run": parent.run},
                "version": self.version,
                "writer": self.writer,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, what: str) -> Self:
        """Raises Damaged."""
        if len(data) > HEAD_LIMIT:
            raise Damaged(f"{what} has {len(data)} bytes, more than any head")
        value = canonical.loads(data, what)
        got = fields.Fields(value, what, _HEAD_FIELDS)
        parent = None
        if value["parent"] is not None:
            origin = fields.Fields(value["parent"], f"{what}.parent", ("commit", "run"))
            parent = Parent(_word(origin.text("run"), what), origin.text("commit"))
        commits = parse_commits(got.items("commits"), what)
        if len(got.items("pages")) > PAGES_LIMIT:
            raise Damaged(f"{what} names {len(got.items('pages'))} pages, more than {PAGES_LIMIT}")
        pages = [fields.sized_name(page, f"{what}.pages", HEAD_LIMIT) for page in got.items("pages")]
        if len({name for name, _ in pages}) != len(pages):
            raise Damaged(f"{what} names a page twice")
        return cls(
            version=got.count("version"),
            nonce=got.text("nonce"),
            writer=_word(got.text("writer"), what),
            parent=parent,
            commits=commits,
            pages=tuple((checked_object_name(name, what), size) for name, size in pages),
        )


def parse_commits(values: list[Any], what: str) -> tuple[Commit, ...]:
    """The commits of a head or page. Raises Damaged."""
    commits = tuple(Commit.from_json(value, f"{what}: commit {i}") for i, value in enumerate(values))
    if len({commit.id for commit in commits}) != len(commits):
        raise Damaged(f"{what} names a commit twice")
    return commits


def parse_page(data: bytes, what: str) -> tuple[Commit, ...]:
    """The commits of a page. Raises Damaged."""
    got = fields.Fields(canonical.loads(data, what), what, ("commits",))
    return parse_commits(got.items("commits"), what)


def newest_first(commits: tuple[Commit, ...]) -> list[Commit]:
    """By step, the highest first; of one step, the last written first."""
    return sorted(commits, key=lambda commit: commit.step)[::-1]


def _word(text: str, what: str) -> str:
    try:
        return checked_word(text, what)
    except CheckpointError as error:
        raise Damaged(str(error)) from error


def _finite(value: float) -> float | str:
    """JSON has no NaN; a diverged run still has a loss to tell."""
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _number(value: Any, what: str) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if type(value) not in (int, float):
        raise Damaged(f"{what}.metrics holds something that is no number")
    try:
        return float(value)
    except OverflowError as error:
        raise Damaged(f"{what}.metrics: {error}") from error
