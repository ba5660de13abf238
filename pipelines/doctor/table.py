"""The run's table: can it be read with these keys, and has it the columns that the settings name?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lstm.windows.index.grid import OBSERVED
from pipelines.doctor.finding import Finding, mistake, ok, problem
from pipelines.surroundings.connect import Connection
from storage.errors import UserError
from storage.object_settings import keys_of
from storage.objects import ObjectError
from storage.tables import open_table

if TYPE_CHECKING:
    from pipelines.config.model import RunConfig


def table(run: "RunConfig", connection: Connection) -> Iterator[Finding]:
    """The snapshot that a run would pin now, and its columns."""
    uri = run.table.uri
    elsewhere = run.table.access is not None
    try:
        source = keys_of(connection.data.access).source if elsewhere else ""
        opened = open_table(connection.data, uri, format=run.table.format)
        snapshot = opened.snapshot(run.table.snapshot)
        rows, files = sum(it.rows for it in snapshot.files), len(snapshot.files)
    except UserError as error:
        yield mistake("table", error, "name a table with table.uri, or make it: carousel ingest")
        return
    except ObjectError as error:
        yield problem("table", str(error), "let these keys read the table's objects (table.access)")
        return
    keys = f", read with keys of its own ({source})" if elsewhere else ""
    yield ok(
        "table",
        f"{uri}: {rows:,} rows in {files:,} files{keys}",
        rows=rows,
        files=files,
        snapshot=snapshot.id,
    )
    wanted = [run.table.time, run.table.entity, run.forecast.target, *run.forecast.past]
    there = set(snapshot.schema.names) | ({OBSERVED} if run.table.grid else set())
    missing = [name for name in wanted if name is not None and name not in there]
    if missing:
        remedy = f"name others; the table has {', '.join(map(repr, snapshot.schema.names))}"
        yield problem("columns", f"the table lacks {', '.join(map(repr, missing))}", remedy)
    else:
        yield ok(
            "columns", f"all {sum(name is not None for name in wanted)} that the settings name are there"
        )
