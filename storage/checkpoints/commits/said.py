"""What a commit says beside its state: who wrote it and when, and what people think of it.

A save says that by itself. A copy brings it along from another repository, an import gets it from a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from storage.checkpoints.commits.landing import Content
from storage.checkpoints.format.head import Commit


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """Fields of a commit in its head."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    note: str = ""
    attempt: str | None = None
    """Who wrote it; None: who commits it now."""
    created: str | None = None
    """When; None: now."""

    @classmethod
    def of(cls, commit: Commit) -> Self:
        """All that `commit` says."""
        return cls(
            metrics=commit.metrics,
            tags=commit.tags,
            pins=commit.pins,
            note=commit.note,
            attempt=commit.attempt,
            created=commit.created,
        )

    def with_own_tags(self, commits: tuple[Commit, ...], new: str) -> tuple[Commit, ...]:
        """A head's commits once `new` has come: a tag names one commit of a run, so it leaves the others."""
        return tuple(
            it if it.id == new else replace(it, tags=tuple(tag for tag in it.tags if tag not in self.tags))
            for it in commits
        )


class Retold:
    """A `Content` whose commit also has the pins and the note of another one."""

    def __init__(self, content: Content, said: Said) -> None:
        self.id, self.learned, self.written = content.id, content.learned, content.written
        self._content, self._said = content, said

    def store(self) -> Commit:
        """See `Content`."""
        stored = self._content.store()
        self.learned = self._content.learned
        return self._retold(stored)

    def store_again(self, commit: Commit, condemned: set[str], newest: int) -> Commit | None:
        """See `Content`."""
        again = self._content.store_again(commit, condemned, newest)
        return None if again is None else self._retold(again)

    def _retold(self, commit: Commit) -> Commit:
        return replace(commit, pins=self._said.pins, note=self._said.note)
