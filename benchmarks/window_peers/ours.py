"""Our stream, measured as `measure` measures peers, on the rows that they have."""

from typing import Any

from benchmarks.window_figures.table import plan_of, tensors
from benchmarks.window_peers.measure import beside_bare
from benchmarks.window_peers.rows import BATCH, COLUMNS, Rows, proof
from lstm.windows import WindowReader, WindowStream
from storage.tables import Snapshot


def on_peers_rows(snapshot: Snapshot, rows: Rows, pairs: int) -> dict[str, Any]:
    """Our stream, warm: windows per second, their ratio to the bare loop's, and the proof of its windows."""
    plan = plan_of(snapshot, rows.stride)
    reader = WindowReader(snapshot, plan, COLUMNS, 2 << 30)
    with WindowStream(plan, reader, "train", seed=0, batch_size=BATCH) as stream:
        proven = proof(tensors(stream))
        return {"proof": proven, **beside_bare(lambda: tensors(stream), rows, pairs)}
