"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.checkpoints import Commit

SHORT_ID = 12
"""Digits of a commit's id that are shown; any unique beginning names it."""


def stored_and_raw(commits: Iterable[Commit]) -> tuple[int, int]:
    """Bytes that commits added to the repository, and bytes of the states they hold."""
    known = list(commits)
    return sum(commit.new_bytes for commit in known), sum(commit.raw_bytes for commit in known)


def figure(value: float | None, digits: int = 2) -> str:
    """A number for people; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def share(stored: int, raw: int) -> str:
    """Stored ÷ raw bytes; a dash where there are none."""
    return f"{stored / raw:.2f}" if raw else "–"
