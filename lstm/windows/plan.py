"""(Signatures first.) Everything that decides which windows there are and in which order; its hash is the plan id."""

from typing import Any, Self

from lstm.windows.index import SequenceIndex
from lstm.windows.spec import OrderSpec, Split, SplitSpec, WindowSpec
from storage.tables.protocol import Snapshot


class Plan:
    """Which windows there are."""

    id: str
    window: WindowSpec
    split: SplitSpec
    order: OrderSpec
    snapshot_id: str
    table: str
    series: tuple[str | int | None, ...]
    """Entities by series number; (None,) for a table without an entity column."""
    interval: int
    """Usual time between two rows of a series, microseconds (or ordinals)."""

    def windows(self, split: Split) -> int:
        """Windows of one split."""
        raise NotImplementedError

    def boundaries(self, split: Split) -> tuple[int | None, int | None]:
        """Times [first, end) that a horizon of `split` lies in wholly; None: open."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Plain facts for people: rows, series, segments, windows and boundaries by split, superblocks."""
        raise NotImplementedError

    def check(self, snapshot: Snapshot) -> None:
        """Raise PlanMismatch unless `snapshot` holds the very files that were planned."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """Canonical JSON, compact: what a run freezes in its first commit."""
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`; raises PlanMismatch where the id does not come out the same."""
        raise NotImplementedError


def make_plan(index: SequenceIndex, window: WindowSpec, split: SplitSpec, order: OrderSpec) -> Plan:
    """Count windows per segment and split, cut superblocks."""
    raise NotImplementedError
