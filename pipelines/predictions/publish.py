"""Add forecasts to the predictions table: one row per commit, series and time, however often it is scored.

The rows of one commit only ever grow, so a hash of the keys that are there names a state of them. An append's
transaction is that hash: of two scorers that saw the same state one adds its rows, the other is told so,
looks again, and adds what is still missing. Of two forecasts of an hour the first one stays; a newer snapshot
adds the hours that no older one reached.
"""

import json
from collections.abc import Set

import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from storage.errors import UserError
from storage.tables import Snapshot, Table

Key = tuple[str | None, int]
"""Series and time, the time in the units of its column."""


class ForecastsDeleted(UserError):
    """Rows of this commit were added once, and have been deleted since."""


def publish(table: Table, rows: pa.Table, *, commit: str) -> int:
    """Append those of `rows`, forecasts of one commit, whose series and time `table` lacks.

    Returns:
        How many rows were added.

    Raises:
        ForecastsDeleted: a state that was added to before is there again.
        TableError: the table cannot be read or appended to.
    """
    time = rows.schema.field("time").type
    wanted = _keys(rows)
    seen: Set[Key] | None = None
    while True:
        known = _known(table.snapshot(), commit, time)
        missing = rows.filter(pa.array([key not in known for key in wanted], pa.bool_()))
        if not missing.num_rows:
            return 0
        if known == seen:
            raise ForecastsDeleted(
                f"forecasts of commit {commit} were added to {table.uri} and have been deleted since, "
                f"down to {len(known)} rows: they are not added again; score another commit, or set "
                "predictions.uri to another table"
            )
        if table.append(missing, transaction=f"score {commit} after {_name(known)}").added:
            return len(missing)
        seen = known  # another scorer was first


def _keys(rows: pa.Table) -> list[Key]:
    return list(zip(rows["series"].to_pylist(), rows["time"].cast(pa.int64()).to_pylist(), strict=True))


def _known(snapshot: Snapshot, commit: str, time: pa.DataType) -> Set[Key]:
    """Keys of a commit's rows."""
    found: set[Key] = set()
    for file in snapshot.files:
        for group in range(len(snapshot.row_groups(file))):
            rows = snapshot.read(file, group, ["series", "time", "commit_id"])
            own = rows.filter(pc.equal(rows["commit_id"], commit))
            found.update(_keys(own.set_column(1, "time", own["time"].cast(time))))
    return found


def _name(keys: Set[Key]) -> str:
    lines = sorted(json.dumps(key) for key in keys)
    return blake3("\n".join(lines).encode()).hexdigest(length=16)
