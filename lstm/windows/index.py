"""(Signatures first.) Where every series' rows lie in a snapshot, by runs of rows."""

from datetime import timedelta

from storage.objects import Bucket
from storage.tables.protocol import Snapshot


class SequenceIndex:
    """The runs of rows of one snapshot, by series."""


def index_snapshot(
    snapshot: Snapshot,
    *,
    entity: str | None,
    time: str,
    max_gap: timedelta | int | None,
    cache: Bucket | None = None,
    cache_prefix: str = "indexes/",
) -> SequenceIndex:
    """Scan entity and time of every file that the cache does not know yet."""
    raise NotImplementedError
