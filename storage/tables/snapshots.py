"""Find the snapshot that a table showed at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from storage.tables.errors import NoSuchSnapshot
from storage.tables.protocol import SnapshotInfo


def as_of(table: str, snapshot_id: str | None, at: datetime, entries: Sequence[SnapshotInfo]) -> SnapshotInfo:
    """The last of `entries` (oldest first) that was committed at `at` or before.

    Raises:
        ValueError: an id is given too, or `at` has no time zone.
        NoSuchSnapshot: the first one is later.
    """
    if snapshot_id is not None:
        raise ValueError("give either a snapshot id or a time, not both")
    if at.tzinfo is None:
        raise ValueError(f"the time {at} has no time zone; give one, as datetime(…, tzinfo=UTC)")
    found = [entry for entry in entries if entry.created <= at]
    if not found:
        known = (
            f"its oldest readable one is of {entries[0].created.isoformat()}, its newest of "
            f"{entries[-1].created.isoformat()}"
            if entries
            else "it has none yet"
        )
        raise NoSuchSnapshot(f"{table} has no snapshot as old as {at.isoformat()}: {known}")
    return found[-1]
