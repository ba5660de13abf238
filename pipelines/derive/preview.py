"""What a table suggests, for the questions that a person is asked."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipelines.derive.columns import likely_targets, numeric_columns
from pipelines.derive.keys import find_keys
from pipelines.derive.places import Places, storage_and_access
from pipelines.derive.reasons import Reasons
from pipelines.derive.request import CannotDerive, Request
from pipelines.derive.words import listed
from pipelines.display.waiting import waiting
from pipelines.surroundings.session import connected
from storage.tables import open_table


@dataclass(frozen=True, slots=True)
class Preview:
    """Answers to suggest; None: the table suggests none."""

    summary: str
    time: str | None
    entity: str | None
    target: str | None
    numbers: str


def preview(places: Places, wish: Request, root: Path) -> Preview:
    """Look at columns and keys only."""
    storage, access = storage_and_access(places, Reasons())
    with connected(storage, root) as bucket, waiting(f"looking at {places.table}"):
        connection = bucket.reading(access)
        table = open_table(connection.data, places.table)
        snapshot = table.snapshot()
        rows = sum(file.rows for file in snapshot.files)
        summary = f"{rows:,} rows; columns: {listed(snapshot.schema.names)}"
        with suppress(CannotDerive):  # the person is asked without a suggestion
            keys = find_keys(snapshot, table.properties, wish, connection.bucket, Reasons())
            target = likely_targets(snapshot.schema, keys, wish)[0].name
            numbers = listed(numeric_columns(snapshot.schema, keys))
            return Preview(summary, keys.time, keys.entity, target, numbers)
        return Preview(summary, None, None, None, listed(snapshot.schema.names))
