"""Our stream, measured as `measure` measures peers, on the rows that they have."""

import tempfile
import weakref
from pathlib import Path

from benchmarks.window_figures.table import plan_of, table_of, tensors
from benchmarks.window_peers.rows import BATCH, COLUMNS, Loader, Rows
from lstm.windows import WindowReader, WindowStream
from storage.local import LocalServer
from storage.objects import Bucket
from storage.tables import lake_for

_ROW_GROUP_ROWS = 4096


def carousel(rows: Rows) -> Loader:
    """A stream from a Delta table on the embedded S3 server; its first pass, which is not timed, reads it."""
    folder = tempfile.TemporaryDirectory()
    server = LocalServer.start(Path(folder.name), die_with_parent=True)
    Bucket("lake", server.access).create()
    snapshot = table_of(lake_for(server), "s3://lake/rows", rows, _ROW_GROUP_ROWS)
    plan = plan_of(snapshot, rows.stride)
    reader = WindowReader(snapshot, plan, COLUMNS, 2 << 30)
    stream = WindowStream(plan, reader, "train", seed=0, batch_size=BATCH)

    def stop() -> None:
        server.stop()
        folder.cleanup()

    weakref.finalize(stream, stop)
    return Loader(lambda: tensors(stream))
